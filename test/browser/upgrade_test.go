package browser

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/offkey/offkey/test/binary"
	"github.com/offkey/offkey/test/chromium"
)

func TestMain(m *testing.M) { binary.Main(m) }

const apikey = "live_0123456789abcdef0123"

// keyedAPI wants an apikey, or what the gateway says of a client.
func keyedAPI(t *testing.T) string {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-API-Key") != apikey && r.Header.Get("X-Offkey-Client") == "" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(rw, `{"orders":[]}`)
	}))
	t.Cleanup(api.Close)
	return api.URL
}

// call makes one call through the gateway.
func call(t *testing.T, url, apikey, bearer string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if apikey != "" {
		r.Header.Set("X-API-Key", apikey)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{}}, Timeout: 10 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// learn makes calls until offkey knows the apikey: the API has vouched for it.
func learn(t *testing.T, server *binary.Server) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) { // until the API has vouched for it
		if status := call(t, server.Gateway+"/v1/orders", apikey, ""); status != http.StatusOK {
			t.Fatalf("the apikey: %d", status)
		}
		var list struct{ APIKeys []struct{ ID string } }
		if server.CLI(t, &list, "apikeys", "list"); len(list.APIKeys) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the apikey was not learnt")
		}
	}
}

// TestUpgradePage is the way of a caller without a terminal: the apikey is shown
// to the page, the browser makes the key pair, and what it saves works.
func TestUpgradePage(t *testing.T) {
	chromium.Need(t)
	server := binary.Up(t, keyedAPI(t))
	learn(t, server)
	w := &world{t: t, issuer: strings.Replace(server.Issuer, "127.0.0.1", "localhost", 1)}
	b := w.browser()
	b.open("/upgrade")
	b.See("#apikey")
	b.LooksRight("upgrade")

	b.Type("#apikey", "wrong_0123456789")
	b.Click("#upgrade-check")
	b.See("#upgrade-problem")
	if said := chromium.Says[string](b.Browser, `document.getElementById("upgrade-problem").textContent`); !strings.Contains(said, "not known here") {
		t.Errorf("a wrong apikey: %s", said)
	}
	b.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById("apikey").value = ""`))
	b.Type("#apikey", apikey)
	b.Click("#upgrade-check")
	b.See("#held-last4")
	if last4 := chromium.Says[string](b.Browser, `document.getElementById("held-last4").textContent`); last4 != "...0123" {
		t.Errorf("it shows %q", last4)
	}
	b.LooksRight("upgrade-held")
	b.Type("#client-name", "billing-worker")
	b.Click("#upgrade-register")
	b.Do(chromedp.Poll[chromedp.Void](`document.getElementById("made-token").textContent !== ""`))
	if said := chromium.Says[string](b.Browser, `document.getElementById("made-token").textContent`); !strings.HasPrefix(said, "granted") {
		t.Fatalf("the first token: %s\n%s", said, server.Log())
	}
	b.LooksRight("upgrade-made")
	if left := chromium.Says[string](b.Browser, `document.getElementById("apikey").value`); left != "" {
		t.Error("the apikey stays in the page")
	}
	id := chromium.Says[string](b.Browser, `document.getElementById("made-id").textContent`)
	for _, language := range []string{"python", "node", "go", "java", "dotnet"} {
		lines := chromium.Says[string](b.Browser, `document.querySelector("[data-lines=`+language+`]").textContent`)
		if strings.Contains(lines, "_ID%") || strings.Contains(lines, "%SCOPE%") || !strings.Contains(lines, id) && language != "go" {
			t.Errorf("%s: %s", language, lines)
		}
	}

	dir := t.TempDir()
	b.SavesTo(dir)
	b.Click("#save-key")
	b.Click("#save-client")
	for _, name := range []string{"key.pem", "client.json"} {
		path := filepath.Join(dir, name)
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if raw, err := os.ReadFile(path); err == nil && len(raw) > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s was not saved", name)
			}
		}
		w.ok(os.Chmod(path, 0o600))
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	binary.JSON(t, &token, "token", "--dir", dir)
	if status := call(t, server.Gateway+"/v1/orders", "", token.AccessToken); status != http.StatusOK {
		t.Errorf("a call with a token of what was saved: %d", status)
	}
	if strings.Contains(server.Log(), apikey) {
		t.Error("the apikey is in the log")
	}
}
