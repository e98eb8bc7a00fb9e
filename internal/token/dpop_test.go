package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// The examples of RFC 9449 §4.1, §5 and §7.1.
const (
	rfcTokenProof    = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	rfcResourceProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	rfcAccessToken   = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	rfcThumbprint    = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
)

func TestTheProofsOfTheRFCHold(t *testing.T) {
	at := time.Unix(1562262620, 0)
	got, err := CheckProof([]string{rfcTokenProof}, ProofRequest{Method: "POST", URL: "https://server.example.com/token", At: at})
	if err != nil || got.JKT != rfcThumbprint || got.ID != "-BwC3ESc6acc2lTc" {
		t.Errorf("at the token endpoint: %+v, %v", got, err)
	}
	got, err = CheckProof([]string{rfcResourceProof}, ProofRequest{
		Method: "GET", URL: "https://resource.example.org/protectedresource", AccessToken: rfcAccessToken, JKT: rfcThumbprint, At: at,
	})
	if err != nil || got.ID != "e1j3V_bKic8-LAEB" {
		t.Errorf("at the resource: %+v, %v", got, err)
	}
}

// proofMaker signs proofs that hold unless a test breaks them.
type proofMaker struct {
	key *jose.SigningKey
	at  time.Time
}

func newProofMaker(t testing.TB) *proofMaker {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return &proofMaker{key, time.Date(2027, 1, 15, 10, 0, 0, 5e8, time.UTC)}
}

const proofURL = "https://api.example.com/v1/orders"

func (m *proofMaker) claims() map[string]any {
	sum := sha256.Sum256([]byte("the token"))
	return map[string]any{
		"jti": "one", "htm": "GET", "htu": proofURL, "iat": m.at.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
}

func (m *proofMaker) request() ProofRequest {
	return ProofRequest{Method: "GET", URL: proofURL, AccessToken: "the token", JKT: m.key.Public().Thumbprint(), At: m.at}
}

func (m *proofMaker) sign(t testing.TB, typ string, claims map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := m.key.SignSelfSigned(typ, raw)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func TestEachRuleOfAProof(t *testing.T) {
	m := newProofMaker(t)
	other := newProofMaker(t)
	set := func(name string, value any) func(map[string]any, *ProofRequest) {
		return func(c map[string]any, _ *ProofRequest) { c[name] = value }
	}
	drop := func(name string) func(map[string]any, *ProofRequest) {
		return func(c map[string]any, _ *ProofRequest) { delete(c, name) }
	}
	at := func(d time.Duration) func(map[string]any, *ProofRequest) { return set("iat", m.at.Add(d).Unix()) }
	tests := []struct {
		name   string
		change func(map[string]any, *ProofRequest)
		want   string // "" for a good one
	}{
		{"checklist_145 unchanged", func(map[string]any, *ProofRequest) {}, ""},
		{"checklist_144 no jti", drop("jti"), "jti"},
		{"checklist_144 jti of 257 bytes", set("jti", strings.Repeat("a", 257)), "jti"},
		{"checklist_144 jti is a number", set("jti", 1), "wrong type"},
		{"checklist_145 no htm", drop("htm"), "lacks one of"},
		{"checklist_145 htm of another method", set("htm", "POST"), "htm"},
		{"checklist_145 htm in small letters", set("htm", "get"), "htm"},
		{"checklist_145 no htu", drop("htu"), "lacks one of"},
		{"checklist_145 htu of another path", set("htu", proofURL+"/7"), "htu"},
		{"checklist_145 htu with a query that is not the request's", set("htu", proofURL+"?a=1#b"), ""},
		{"checklist_145 the request has a query", func(_ map[string]any, r *ProofRequest) { r.URL += "?b=2" }, ""},
		{"checklist_145 htu in capitals and with the port", set("htu", "HTTPS://API.example.com:443/v1/%6Frders"), ""},
		{"checklist_145 no iat", drop("iat"), "lacks one of"},
		{"checklist_145 made 10 s ago", at(-10 * time.Second), ""},
		{"checklist_145 made in 10 s", at(10 * time.Second), ""},
		{"checklist_145 made 61 s ago", at(-61 * time.Second), "ago"},
		{"checklist_145 made in 61 s", at(61 * time.Second), "in the future"},
		{"checklist_147 no ath", drop("ath"), "ath"},
		{"checklist_147 ath of another token", func(_ map[string]any, r *ProofRequest) { r.AccessToken = "another" }, "ath"},
		{"checklist_147 no token was sent, so ath counts for nothing", func(_ map[string]any, r *ProofRequest) { r.AccessToken, r.JKT = "", "" }, ""},
		{"checklist_147 the token is bound to another key", func(_ map[string]any, r *ProofRequest) { r.JKT = other.key.Public().Thumbprint() }, "another key"},
		{"checklist_150 a nonce is handed on", set("nonce", "n"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, r := m.claims(), m.request()
			tt.change(c, &r)
			got, err := CheckProof([]string{m.sign(t, "dpop+jwt", c)}, r)
			wantProof(t, err, tt.want)
			if tt.want == "" && got.JKT != m.key.Public().Thumbprint() {
				t.Errorf("proved %q", got.JKT)
			}
			if nonce, _ := c["nonce"].(string); err == nil && got.Nonce != nonce {
				t.Errorf("nonce is %q", got.Nonce)
			}
		})
	}
	good := m.sign(t, "dpop+jwt", m.claims())
	for name, tt := range map[string]struct {
		headers []string
		want    string
	}{
		"checklist_144 none":                {nil, "is needed"},
		"checklist_144 two headers":         {[]string{good, good}, "more than once"},
		"checklist_144 two in one header":   {[]string{good + ", " + good}, "can be read"},
		"checklist_144 longer than 8 KiB":   {[]string{strings.Repeat("a", 8<<10+1)}, "longer"},
		"checklist_144 empty":               {[]string{""}, "DPoP proof"},
		"checklist_144 typ JWT":             {[]string{m.sign(t, "JWT", m.claims())}, "typ"},
		"checklist_144 typ of an assertion": {[]string{m.sign(t, "client-authentication+jwt", m.claims())}, "typ"},
		"checklist_145 altered":             {[]string{good[:len(good)-4] + "AAAA"}, "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := CheckProof(tt.headers, m.request())
			wantProof(t, err, tt.want)
		})
	}
}

func wantProof(t *testing.T, err error, part string) {
	t.Helper()
	var oe *oauth.Error
	switch {
	case part == "" && err != nil:
		t.Error(err)
	case part == "":
	case !errors.As(err, &oe) || oe.Code != oauth.CodeInvalidDPoPProof || !strings.Contains(oe.Description, part):
		t.Errorf("got %v, want invalid_dpop_proof with %q", err, part)
	}
}

func TestWhichURLsAreOne(t *testing.T) {
	// RFC 3986 §6.2.2
	for a, b := range map[string]string{
		"https://a.example/x":             "https://A.EXAMPLE:443/x",
		"http://a.example:80":             "http://a.example/",
		"https://a.example/%7Eana":        "https://a.example/~ana",
		"https://a.example/a%c3%a9":       "https://a.example/a%C3%A9",
		"https://a.example/a/./b/../c":    "https://a.example/a/c",
		"https://a.example/a/..":          "https://a.example/",
		"https://a.example:/x":            "https://a.example/x",
		"https://a.example/x?y=1#z":       "https://a.example/x",
		"https://[2001:DB8::1]:8443/x":    "https://[2001:db8::1]:8443/x",
		"HTTPS://a.example/x":             "https://a.example/x",
		"https://a.example/%2e%2e/secret": "https://a.example/secret",
	} {
		if !sameProofURL(a, b) || !sameProofURL(b, a) {
			t.Errorf("%s and %s differ", a, b)
		}
	}
	for a, b := range map[string]string{
		"https://a.example/x":      "http://a.example/x",
		"https://a.example/X":      "https://a.example/x",
		"https://a.example/x/":     "https://a.example/x",
		"https://a.example/a%2Fb":  "https://a.example/a/b",
		"https://a.example:444/x":  "https://a.example/x",
		"https://u@a.example/x":    "https://a.example/x",
		"//a.example/x":            "https://a.example/x",
		"/x":                       "/x",
		"ftp://a.example/x":        "ftp://a.example/x",
		"https:a.example/x":        "https://a.example/x",
		"https://b.example/x":      "https://a.example/x",
		"https://a.example.evil/x": "https://a.example/x",
	} {
		if sameProofURL(a, b) || sameProofURL(b, a) {
			t.Errorf("%s and %s are one", a, b)
		}
	}
}

func TestANonceIsKnownForItsWindowAndTheNext(t *testing.T) {
	// checklist_150
	at := time.Unix(1800000000, 0)
	mine, others := NewNonces([]byte("a key of the issuer")), NewNonces([]byte("a key of the gateway"))
	nonce := mine.At(at)
	for _, tt := range []struct {
		after          time.Duration
		known, current bool
	}{{0, true, true}, {NonceWindow, true, false}, {-NonceWindow, true, false}, {2 * NonceWindow, false, false}, {-2 * NonceWindow, false, false}} {
		if known, current := mine.Knows(nonce, at.Add(tt.after)); known != tt.known || current != tt.current {
			t.Errorf("after %v: known %v, current %v", tt.after, known, current)
		}
	}
	if known, _ := others.Knows(nonce, at); known {
		t.Error("the nonce of one role is known to the other")
	}
	if known, _ := mine.Knows("", at); known {
		t.Error("no nonce is known")
	}
}

func FuzzCheckProof(f *testing.F) {
	m := newProofMaker(f)
	for _, seed := range []string{rfcTokenProof, rfcResourceProof, m.sign(f, "dpop+jwt", m.claims()), "a.b.c", ""} {
		f.Add(seed, "https://server.example.com/token")
	}
	f.Fuzz(func(t *testing.T, raw, url string) {
		got, err := CheckProof([]string{raw}, ProofRequest{Method: "POST", URL: url, At: time.Unix(1562262620, 0)})
		var oe *oauth.Error
		switch {
		case err == nil && (got.JKT == "" || got.ID == ""):
			t.Errorf("accepted without key or jti: %+v", got)
		case err != nil && (!errors.As(err, &oe) || oe.Code != oauth.CodeInvalidDPoPProof):
			t.Errorf("another error: %v", err)
		}
	})
}

func FuzzProofURL(f *testing.F) {
	f.Add("https://a.example/a/../b%7e", "https://A.example:443/b~")
	f.Fuzz(func(t *testing.T, a, b string) {
		if sameProofURL(a, b) != sameProofURL(b, a) {
			t.Errorf("%q and %q are only one in one direction", a, b)
		}
		if normal, ok := normalURL(a); ok {
			if again, ok := normalURL(normal); !ok || again != normal {
				t.Errorf("%q becomes %q, and that %q", a, normal, again)
			}
		}
	})
}
