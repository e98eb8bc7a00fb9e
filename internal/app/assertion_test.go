package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

func TestTheFileSaysHowLongAssertionsLive(t *testing.T) {
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := jose.KeySet{Keys: []jose.PublicKey{key.Public()}}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	p := runProcess(t, "")
	if err := os.WriteFile(filepath.Join(filepath.Dir(p.file), "billing.jwks"), jwks, 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(life time.Duration, jti string) (status int, body string) {
		t.Helper()
		raw, err := json.Marshal(map[string]any{
			"iss": "billing", "sub": "billing", "aud": "http://127.0.0.1:1", "jti": jti, "iat": p.Now().Unix(), "exp": p.Now().Add(life).Unix(),
		})
		if err != nil {
			t.Fatal(err)
		}
		jwt, err := key.Sign(oauth.TypClientAuthentication, raw)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.PostForm(p.Addresses().Issuer+"/token", url.Values{
			"grant_type": {oauth.GrantClientCredentials}, "client_assertion_type": {oauth.AssertionTypeJWTBearer}, "client_assertion": {jwt},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(answer)
	}
	for _, c := range []struct {
		most    string
		life    time.Duration
		refused bool
	}{
		{"2m", 4 * time.Minute, true},
		{"2m", 2 * time.Minute, false},
		{"20m", 15 * time.Minute, false},
		{"20m", 30 * time.Minute, true},
	} {
		p.write("tokens: {client_assertion: {max_life: " + c.most + "}}\nclients: [{id: billing, auth: private_key_jwt, jwks_file: billing.jwks}]\n")
		if err := p.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		status, body := ask(c.life, c.most+c.life.String())
		if c.refused != (status == http.StatusUnauthorized) || c.refused && !strings.Contains(body, "lives for") {
			t.Errorf("max_life %s, an assertion of %s: %d %s", c.most, c.life, status, body)
		}
	}
}
