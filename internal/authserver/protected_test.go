package authserver_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/jose"
)

func ath(raw string) string {
	sum := sha256.Sum256([]byte(raw))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestABoundTokenOpensNothingWithoutItsKey(t *testing.T) {
	w := newWorld(t)
	_, basic := w.withSecret(billing())
	p, other := w.prover(jose.ES256), w.prover(jose.ES256)
	bearer := w.token(basic).ok()
	bound := w.token(proving(basic, p.proof())).ok()
	w.handler = http.HandlerFunc(w.server.Protected)
	ask := func(scheme, raw string, proofs ...string) answer {
		return w.post("/userinfo", proving(http.Header{"Authorization": {scheme + " " + raw}}, proofs...), nil)
	}
	good := func(p *prover, more ...any) string {
		return p.proof(append([]any{"htu", issuerURL + "/userinfo", "ath", ath(bound)}, more...)...)
	}
	wantOK := func(a answer) {
		t.Helper()
		if a.status != http.StatusOK {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
	wantOK(ask("Bearer", bearer))
	wantOK(ask("DPoP", bound, good(p)))
	wantOK(ask("dpop", bound, good(p))) // checklist_7
	once := good(p)
	wantOK(ask("DPoP", bound, once))
	for name, tt := range map[string]struct {
		a          answer
		code, text string
	}{
		"checklist_148 sent as Bearer":             {ask("Bearer", bound, good(p)), "invalid_token", "under the scheme DPoP"},
		"checklist_149 without proof":              {ask("DPoP", bound), "invalid_dpop_proof", "is needed"},
		"checklist_147 with another key":           {ask("DPoP", bound, good(other)), "invalid_dpop_proof", "another key"},
		"checklist_147 without ath":                {ask("DPoP", bound, p.proof("htu", issuerURL+"/userinfo")), "invalid_dpop_proof", "ath"},
		"checklist_146 with a proof that was used": {ask("DPoP", bound, once), "invalid_dpop_proof", "used before"},
		"checklist_147 a bearer token under DPoP":  {ask("DPoP", bearer, good(p)), "invalid_token", "not bound"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.a.refused(http.StatusUnauthorized, tt.code, tt.text)
			if got := tt.a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "DPoP ") || !strings.Contains(got, `algs="ES256`) || !strings.Contains(got, `error="`+tt.code+`"`) {
				t.Errorf("challenge %q", got)
			}
		})
	}
	t.Run("checklist_170 without a token the challenge is bare", func(t *testing.T) {
		if got := w.post("/userinfo", nil, nil).header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("challenge %q", got)
		}
	})
	t.Run("checklist_169 two tokens", func(t *testing.T) {
		w.post("/userinfo", http.Header{"Authorization": {"Bearer " + bearer, "Bearer " + bearer}}, nil).refused(400, "invalid_request", "more than one")
	})
}

func TestATokenOfACertificateOpensNothingWithoutIt(t *testing.T) {
	// checklist_156
	w := newWorld(t, func(o *authserver.Options) { o.MutualTLS = true })
	key, other := newKey(t), newKey(t)
	cert := (&authority{t, w, nil, key}).issue(&key.PublicKey, edge())
	another := (&authority{t, w, nil, other}).issue(&other.PublicKey, edge())
	c := billing()
	c.CertificateBound = true
	_, basic := w.withSecret(c)
	bound := w.over(cert, basic).ok()
	w.handler = http.HandlerFunc(w.server.Protected)
	header := http.Header{"Authorization": {"Bearer " + bound}}
	if a := w.over(cert, header); a.status != http.StatusOK {
		t.Errorf("got %d %s", a.status, a.body)
	}
	for _, wrong := range []*x509.Certificate{another, nil} {
		w.over(wrong, header).refused(http.StatusUnauthorized, "invalid_token", "another TLS certificate")
	}
}

func TestWhichKeyAPushedRequestNamesForItsCode(t *testing.T) {
	// checklist_151
	w := newWorld(t)
	w.handler = http.HandlerFunc(w.server.CodeKey)
	p, other := w.prover(jose.ES256), w.prover(jose.ES256)
	par := func(p *prover) string { return p.proof("htu", issuerURL+"/par") }
	for name, tt := range map[string]struct {
		a    answer
		want string
	}{
		"neither":            {w.post("/par", nil, values("a", "b")), ""},
		"dpop_jkt":           {w.post("/par", nil, values("dpop_jkt", p.jkt())), p.jkt()},
		"a proof":            {w.post("/par", proving(nil, par(p)), values("a", "b")), p.jkt()},
		"both, and they are": {w.post("/par", proving(nil, par(p)), values("dpop_jkt", p.jkt())), p.jkt()},
	} {
		if got, _ := tt.a.json["jkt"].(string); tt.a.status != http.StatusOK || got != tt.want {
			t.Errorf("%s: %d %s", name, tt.a.status, tt.a.body)
		}
	}
	w.post("/par", proving(nil, par(p)), values("dpop_jkt", other.jkt())).refused(400, "invalid_dpop_proof", "another key")
	w.post("/par", nil, values("dpop_jkt", "short")).refused(400, "invalid_request", "dpop_jkt")
	w.post("/par", proving(nil, p.proof()), values("a", "b")).refused(400, "invalid_dpop_proof", "htu")
}
