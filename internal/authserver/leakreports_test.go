package authserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/leak"
)

// desk knows one credential, and notes what it is told.
type desk struct {
	mu      sync.Mutex
	known   string
	reports []leak.Reported
	blocked bool
	by      string
	err     error
}

func (d *desk) TakeReports(_ context.Context, by string, _ netip.Addr, reports []leak.Reported, block bool) ([]bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports, d.blocked, d.by = append(d.reports, reports...), block, by
	ours := make([]bool, len(reports))
	for i, r := range reports {
		ours[i] = r.Credential == d.known
	}
	return ours, d.err
}

func reporting(d *desk, key *ecdsa.PublicKey) func(*authserver.Options) {
	return func(o *authserver.Options) {
		o.Leaks, o.LeakReports, o.LeakScanning = d, authserver.ReportsBlock, authserver.ReportsTell
		o.ScanningKey = func(_ context.Context, id string) (*ecdsa.PublicKey, error) {
			if id != "key-1" {
				return nil, errors.New("no such key")
			}
			return key, nil
		}
	}
}

func report(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/leaks", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestAReportHasOneAnswerWhateverIsKnown(t *testing.T) {
	d := &desk{known: "the-known-one"}
	w := newWorld(t, reporting(d, nil))
	answers := map[string]string{}
	for _, credential := range []string{"the-known-one", "an-unknown-one"} {
		began := time.Now()
		a := w.do(report(`{"credentials":["` + credential + `"],"where":"https://x.example"}`))
		if took := time.Since(began); took < 200*time.Millisecond {
			t.Errorf("%s: answered after %v", credential, took)
		}
		answers[credential] = http.StatusText(a.status) + a.body
	}
	if answers["the-known-one"] != answers["an-unknown-one"] || !strings.Contains(answers["the-known-one"], `{"received":1}`) {
		t.Errorf("answers are %q", answers)
	}
	if len(d.reports) != 2 || d.reports[0] != (leak.Reported{Credential: "the-known-one", Where: "https://x.example"}) || !d.blocked || d.by != leak.ByReport {
		t.Errorf("told %+v", d)
	}
}

func TestReportsAreBounded(t *testing.T) {
	d := &desk{}
	w := newWorld(t, reporting(d, nil))
	many, _ := json.Marshal(slices.Repeat([]string{"x"}, 21))
	for _, tc := range []struct {
		name, body string
		status     int
	}{
		{"too many at a time", `{"credentials":` + string(many) + `}`, 400},
		{"none", `{"credentials":[]}`, 400},
		{"no JSON", `credentials=x`, 400},
		{"endless", `{"credentials":["` + strings.Repeat("x", 70_000) + `"]}`, 413},
	} {
		if a := w.do(report(tc.body)); a.status != tc.status {
			t.Errorf("%s: %d %s", tc.name, a.status, a.body)
		}
	}
	status := 0
	for range 30 { // the source's burst is 20
		status = w.do(report(`{"credentials":[]}`)).status
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("after many reports: %d", status)
	}
	if len(d.reports) != 0 {
		t.Errorf("taken: %v", d.reports)
	}
}

func TestAReportThatCannotBeKeptSaysSo(t *testing.T) {
	w := newWorld(t, reporting(&desk{err: errors.New("disk full")}, nil))
	if a := w.do(report(`{"credentials":["x"]}`)); a.status != http.StatusServiceUnavailable || strings.Contains(a.body, "disk") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestNobodyReportsUnlessItIsSwitchedOn(t *testing.T) {
	w := newWorld(t, func(o *authserver.Options) { o.Leaks = &desk{} })
	for _, path := range []string{"/leaks", "/leaks/github"} {
		r := report(`{"credentials":["x"]}`)
		r.URL.Path = path
		if a := w.do(r); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// scanMessage is signed as GitHub signs.
func scanMessage(t *testing.T, key *ecdsa.PrivateKey, body string) *http.Request {
	t.Helper()
	digest := sha256.Sum256([]byte(body))
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/leaks/github", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("GITHUB-PUBLIC-KEY-IDENTIFIER", "key-1")
	r.Header.Set("GITHUB-PUBLIC-KEY-SIGNATURE", base64.StdEncoding.EncodeToString(der))
	return r
}

func TestSecretScanningIsToldWhatIsOurs(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{known: "the-known-one"}
	w := newWorld(t, reporting(d, &key.PublicKey))
	body := `[{"token":"the-known-one","type":"acme_api_key","url":"https://github.com/o/r/blob/1/f","source":"content"},{"token":"other","type":"acme_api_key","url":"","source":"commit"}]`
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, scanMessage(t, key, body))
	var labels []map[string]string
	if err := json.Unmarshal(rec.Body.Bytes(), &labels); err != nil || rec.Code != http.StatusOK || len(labels) != 2 {
		t.Fatalf("%d %s %v", rec.Code, rec.Body, err)
	}
	sum := sha256.Sum256([]byte("the-known-one"))
	if labels[0]["token_hash"] != hex.EncodeToString(sum[:]) || labels[0]["label"] != "true_positive" || labels[0]["token_type"] != "acme_api_key" || labels[1]["label"] != "false_positive" {
		t.Errorf("labels are %v", labels)
	}
	if d.by != leak.ByGitHub || d.blocked || d.reports[0].Where != "https://github.com/o/r/blob/1/f" {
		t.Errorf("told %+v", d)
	}
	for name, spoil := range map[string]func(*http.Request){
		"another body":     func(r *http.Request) { r.Body = httptest.NewRequest("POST", "/", strings.NewReader(body+" ")).Body },
		"another key":      func(r *http.Request) { r.Header.Set("GITHUB-PUBLIC-KEY-IDENTIFIER", "key-2") },
		"no key":           func(r *http.Request) { r.Header.Del("GITHUB-PUBLIC-KEY-IDENTIFIER") },
		"no signature":     func(r *http.Request) { r.Header.Del("GITHUB-PUBLIC-KEY-SIGNATURE") },
		"a signature else": func(r *http.Request) { r.Header.Set("GITHUB-PUBLIC-KEY-SIGNATURE", "!") },
	} {
		r := scanMessage(t, key, body)
		spoil(r)
		if a := w.do(r); a.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

// The vectors that GitHub publishes with the partner program.
func TestGitHubsOwnExamplesAreVerified(t *testing.T) {
	const older = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9MJJHnMfn2+H4xL4YaPDA4RpJqUqkCmRCBnYERxZanmcpzQSXs1X/AljlKkbJ8qpVIW4clayyef9gWhFbNHWAA=="
	const newer = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsz9ugWDj5jK5ELBK42ynytbo38gPHzZFI03Exwz8Lh/tCfL3YxwMdLjB+bMznsanlhK0RwcGP3IDb34kQDIo3Q=="
	for _, v := range []struct{ key, body, signature string }{
		{older, `[{"token":"some_token","type":"some_type","url":"some_url"}]`, "MEUCIQDKZokqnCjrRtw0tni+2Ltvl/uiMJ1EGumEsp1BsNr32AIgQY1YXD2nlj+XNfGK4rBfkMJ1JDOQcYXxa2sY8FNkrKc="},
		{newer, `[{"token":"some_token","type":"some_type","url":"some_url","source":"some_source"}]`, "MEUCIFLZzeK++IhS+y276SRk2Pe5LfDrfvTXu6iwKKcFGCrvAiEAhHN2kDOhy2I6eGkOFmxNkOJ+L2y8oQ9A2T9GGJo6WJY="},
	} {
		block, _ := pem.Decode([]byte("-----BEGIN PUBLIC KEY-----\n" + v.key + "\n-----END PUBLIC KEY-----\n"))
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, reporting(&desk{}, parsed.(*ecdsa.PublicKey)))
		send := func(body string) int {
			r := httptest.NewRequest(http.MethodPost, "/leaks/github", strings.NewReader(body))
			r.Header.Set("Github-Public-Key-Identifier", "key-1")
			r.Header.Set("Github-Public-Key-Signature", v.signature)
			rec := httptest.NewRecorder() // an array, which do does not read
			w.handler.ServeHTTP(rec, r)
			return rec.Code
		}
		if status := send(v.body); status != http.StatusOK {
			t.Errorf("%s: %d", v.body, status)
		}
		if status := send(strings.Replace(v.body, "some_token", "some_tokem", 1)); status != http.StatusForbidden {
			t.Errorf("changed: %d", status)
		}
	}
}

func FuzzLeakReport(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	w := newWorld(f, unlimited, reporting(&desk{known: "x"}, &key.PublicKey))
	f.Add("/leaks", `{"credentials":["x"`, "", "")
	f.Add("/leaks", `{"credentials":[],"where":1}`, "", "")
	f.Add("/leaks/github", `[{"token":"x"}]`, "key-1", "MEUCIQDK")
	f.Add("/leaks/github", `[]`, "key-2", "!")
	f.Fuzz(func(t *testing.T, path, body, id, signature string) {
		if path != "/leaks" {
			path = "/leaks/github"
		}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Github-Public-Key-Identifier", id)
		r.Header.Set("Github-Public-Key-Signature", signature)
		w.t = t
		w.advance(time.Hour)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if !slices.Contains([]int{202, 400, 403, 413, 429, 503}, rec.Code) {
			t.Errorf("%s %q: %d %s", path, body, rec.Code, rec.Body)
		}
	})
}
