package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/test/farside"
)

func TestCall(t *testing.T) {
	world, dir, _ := upgraded(t)
	r := offkey(t, "call", "GET", world.APIURL+"/v1/orders", "--dir", dir)
	r.want(t, exitOK)
	if r.out != `{"body":"","path":"/v1/orders"}`+"\n" || !strings.Contains(r.err, "200 OK") {
		t.Errorf("stdout %q, stderr %q", r.out, r.err)
	}

	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]string{"@" + file: "from a file", "-": "from stdin", "@-": "from stdin", "as it is": "as it is"} {
		r := invocation{stdin: "from stdin"}.offkey(t, "--json", "call", "POST", world.APIURL+"/v1/orders", "-d", data, "-H", "X-One: 1", "-H", "X-Two: a, b", "--dir", dir)
		r.want(t, exitOK)
		document := decode[struct {
			Status  int
			Headers http.Header
			Body    map[string]string
		}](t, r)
		if document.Status != 200 || document.Body["body"] != want || document.Headers.Get("Content-Type") != "application/json" {
			t.Errorf("-d %s: %+v", data, document)
		}
	}
}

func TestCallExplainsRefusals(t *testing.T) {
	world, dir, _ := upgraded(t)
	r := offkey(t, "--json", "call", "GET", world.APIURL+"/v1/orders", "--scope", "create:orders", "--dir", dir)
	r.want(t, exitFailed)
	if f := failureOf(t, r); f.Code != "insufficient_scope" || !strings.Contains(f.Message, "read:orders") || !strings.Contains(f.Fix, `--scope "create:orders read:orders"`) {
		t.Errorf("error %+v", f)
	}
	if document := decode[map[string]any](t, r); document["status"] != float64(403) {
		t.Errorf("the answer itself is gone: %v", document)
	}
	r = offkey(t, "call", "GET", world.APIURL+"/v1/orders", "--scope", "", "--dir", dir)
	r.want(t, exitFailed, "403 Forbidden", "needs the scope", "fix:")
	if !strings.Contains(r.out, "insufficient_scope") {
		t.Errorf("the body is not on stdout: %q", r.out)
	}
	offkey(t, "call", "GET", world.APIURL+"/v1/orders", "--resource", "https://other.example", "--dir", dir).want(t, exitUsage, "another place")
}

func TestCallRenewsARevokedToken(t *testing.T) {
	world, dir, _ := upgraded(t)
	token := strings.TrimSpace(offkey(t, "token", "--dir", dir).out)
	world.With(func(s *farside.State) { s.Revoked[token] = true })
	before := len(world.Requests())
	offkey(t, "call", "POST", world.APIURL+"/v1/orders", "-d", "x", "--dir", dir).want(t, exitOK)
	if got := len(world.Requests()) - before; got != 1 {
		t.Errorf("%d token requests", got)
	}
	calls := world.Calls()
	if last := calls[len(calls)-1]; last.Body != "x" {
		t.Errorf("the second call was sent with body %q", last.Body)
	}
	if again := strings.TrimSpace(offkey(t, "token", "--dir", dir).out); again == token {
		t.Error("the revoked token is still kept")
	}
}

func TestCallKeepsTheTokenWithItsAPI(t *testing.T) {
	world, dir, _ := upgraded(t)
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Get("Authorization")) }))
	defer other.Close()
	before := len(world.Requests())
	offkey(t, "call", "GET", other.URL, "--dir", dir).want(t, exitUsage, "another place")
	offkey(t, "call", "GET", "http://api.example.com/", "--dir", dir).want(t, exitUsage, "another place")
	if len(seen) > 0 || len(world.Requests()) != before {
		t.Error("a token was fetched or sent")
	}
	t.Run("in the clear", func(t *testing.T) {
		key := filepath.Join(t.TempDir(), "k.pem")
		offkey(t, "keygen", "--out", key).want(t, exitOK)
		offkey(t, "call", "GET", "http://api.example.com/", "--issuer", world.IssuerURL, "--client", "c", "--keyfile", key).want(t, exitFailed, "not https")
	})
	t.Run("redirects are shown, not followed", func(t *testing.T) {
		redirecting := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
		defer redirecting.Close()
		r := offkey(t, "call", "GET", redirecting.URL, "--resource", redirecting.URL, "--dir", dir)
		r.want(t, exitOK, "302 Found")
		if len(seen) > 0 {
			t.Error("it was followed")
		}
	})
}

func TestCallMistakes(t *testing.T) {
	world, dir, _ := upgraded(t)
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"not a URL":             {[]string{"GET", "api.example.com/v1"}, exitUsage, "https://"},
		"header without colon":  {[]string{"GET", world.APIURL, "-H", "Accept"}, exitUsage, "Name: value"},
		"another authorization": {[]string{"GET", world.APIURL, "-H", "authorization: KEY x"}, exitUsage, "carries the token"},
		"method with a space":   {[]string{"GET IT", world.APIURL}, exitUsage, "HTTP method"},
		"no such body file":     {[]string{"POST", world.APIURL, "-d", "@/nonexistent"}, exitUsage, "-d @"},
	} {
		t.Run(name, func(t *testing.T) {
			offkey(t, append(append([]string{"call"}, tc.args...), "--dir", dir)...).want(t, tc.code, tc.want)
		})
	}
	t.Run("API is down", func(t *testing.T) {
		down := httptest.NewServer(nil)
		down.Close()
		r := offkey(t, "--json", "call", "GET", down.URL, "--resource", down.URL, "--dir", dir)
		r.want(t, exitFailed)
		if f := failureOf(t, r); f.Code != "unreachable" || f.Fix == "" {
			t.Errorf("error %+v", f)
		}
	})
	t.Run("body that is no text", func(t *testing.T) {
		binary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0xfe}) }))
		defer binary.Close()
		r := offkey(t, "--json", "call", "GET", binary.URL, "--resource", binary.URL, "--dir", dir)
		r.want(t, exitOK)
		if document := decode[map[string]any](t, r); document["body_base64"] != "//4=" || document["body"] != nil {
			t.Errorf("document %v", document)
		}
	})
}
