package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

const (
	issuerURL = "https://auth.example.com"
	api       = "https://api.example.com"
)

// keys is a keyring.Store in memory.
type keys struct {
	mu   sync.Mutex
	rows []keyring.Key
}

func (s *keys) SigningKeys(context.Context) ([]keyring.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows), nil
}

func (s *keys) AddSigningKey(_ context.Context, k keyring.Key, _ audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = append(s.rows, k)
	return nil
}

func (s *keys) DropSigningKey(_ context.Context, id string, at time.Time, _ audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.rows {
		if s.rows[i].ID == id {
			s.rows[i].Dropped = at
		}
	}
	return nil
}

// world is an issuer and a verifier with one clock.
type world struct {
	at          atomic.Int64
	manager     *keyring.Manager
	issuer      *Issuer
	verifier    *Verifier
	revocations Revocations
}

func (w *world) now() time.Time { return time.Unix(0, w.at.Load()) }

func (w *world) advance(d time.Duration) { w.at.Add(int64(d)) }

func newWorld(t testing.TB, alg jose.Algorithm, cacheSize int) *world {
	t.Helper()
	raw, err := secret.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	w.at.Store(time.Date(2027, 1, 15, 10, 0, 0, 5e8, time.UTC).UnixNano())
	w.manager = keyring.New(&keys{}, master, keyring.Options{Alg: alg}, w.now)
	if err := w.manager.Tend(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.issuer = NewIssuer(issuerURL, w.manager.Current, w.now)
	w.verifier = w.verifierFor(api, cacheSize)
	return w
}

func (w *world) verifierFor(audience string, cacheSize int) *Verifier {
	return NewVerifier(VerifierOptions{
		Issuer: issuerURL, Audience: audience, Ring: w.manager.Current,
		Revocations: &w.revocations, Now: w.now, CacheSize: cacheSize,
	})
}

func billing() Authorization {
	return Authorization{
		Client: &client.Client{ID: "cl_billing"}, Scope: oauth.Scope{"read:orders", "create:orders"},
		Resources: []string{api}, Life: 10 * time.Minute,
	}
}

func (w *world) issue(t testing.TB, a Authorization) Issued {
	t.Helper()
	issued, err := w.issuer.Issue(a)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// sign makes a token with the issuer's own key and any content.
func (w *world) sign(t testing.TB, typ string, claims map[string]any) string {
	t.Helper()
	key, err := w.manager.Current().Signer(w.now())
	if err != nil {
		t.Fatal(err)
	}
	return signWith(t, key, typ, claims)
}

func signWith(t testing.TB, key *jose.SigningKey, typ string, claims map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := key.Sign(typ, raw)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (w *world) claims() map[string]any {
	return map[string]any{
		"iss": issuerURL, "sub": "cl_billing", "client_id": "cl_billing", "aud": api, "jti": "one",
		"iat": w.now().Unix(), "exp": w.now().Add(time.Minute).Unix(), "scope": "read:orders",
	}
}

func part(t *testing.T, token string, i int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[i])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return m
}

func TestChecklist112to115(t *testing.T) {
	w := newWorld(t, jose.ES256, 0)
	issued := w.issue(t, billing())
	t.Run("checklist_112 typ is at+jwt", func(t *testing.T) {
		if got := part(t, issued.Token, 0)["typ"]; got != "at+jwt" {
			t.Errorf("typ is %v", got)
		}
	})
	t.Run("checklist_113 the required claims are there", func(t *testing.T) {
		at := w.now().Unix()
		want := map[string]any{
			"iss": issuerURL, "sub": "cl_billing", "client_id": "cl_billing", "aud": api,
			"iat": float64(at), "exp": float64(at + 600), "jti": issued.ID, "scope": "read:orders create:orders",
		}
		if diff := cmp.Diff(want, part(t, issued.Token, 1)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("checklist_114 scope is there if there is one", func(t *testing.T) {
		a := billing()
		a.Scope = nil
		if got, there := part(t, w.issue(t, a).Token, 1)["scope"]; there {
			t.Errorf("scope is %q in a token without scope", got)
		}
	})
	t.Run("checklist_115 every algorithm is asymmetric and verifies, RS256 among them", func(t *testing.T) {
		for _, alg := range jose.AccessTokenAlgorithms {
			w := newWorld(t, alg, 0)
			issued := w.issue(t, billing())
			if got := part(t, issued.Token, 0)["alg"]; got != string(alg) {
				t.Errorf("alg is %v, want %s", got, alg)
			}
			if _, err := w.verifier.Verify(issued.Token); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
	})
	t.Run("checklist_74 sub is the client id where no person is involved", func(t *testing.T) {
		if got := part(t, issued.Token, 1)["sub"]; got != "cl_billing" {
			t.Errorf("sub is %v", got)
		}
	})
	t.Run("checklist_76 the same request again gives another token", func(t *testing.T) {
		if again := w.issue(t, billing()); again.ID == issued.ID || again.Token == issued.Token {
			t.Error("the same token twice")
		}
	})
	t.Run("checklist_218 a jti has 128 random bits", func(t *testing.T) {
		raw, err := base64.RawURLEncoding.DecodeString(issued.ID)
		if err != nil || len(raw) != 16 {
			t.Errorf("jti %q: %d bytes, %v", issued.ID, len(raw), err)
		}
	})
}

func TestEveryStringSurvivesTheEncoder(t *testing.T) {
	for _, s := range []string{`a"b`, `a\b`, "a\nb\x00\x1f", "ümläut 🙂", "a\u2028b", "</script>", "bad\xffutf", "\x7f"} {
		c := Claims{Issuer: s, Subject: s, ClientID: s, ID: s, Audience: []string{s, s}, Scope: oauth.Scope{s}, APIKeyID: s}
		var got map[string]any
		if err := json.Unmarshal(c.appendJSON(nil), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		want := strings.ToValidUTF8(s, "\ufffd")
		for _, name := range []string{"iss", "sub", "client_id", "jti", "scope", "offkey_apikey"} {
			if got[name] != want {
				t.Errorf("%s: %q became %q", name, s, got[name])
			}
		}
		if aud := got["aud"].([]any); len(aud) != 2 || aud[1] != want {
			t.Errorf("aud: %q became %q", s, aud)
		}
	}
}

func TestWhatCannotBeIssued(t *testing.T) {
	w := newWorld(t, jose.ES256, 0)
	for name, broken := range map[string]func(*Authorization){
		"without client":         func(a *Authorization) { a.Client = nil },
		"without audience":       func(a *Authorization) { a.Resources = nil },
		"without life":           func(a *Authorization) { a.Life = 0 },
		"less than a second old": func(a *Authorization) { a.Life = time.Second - 1 },
	} {
		a := billing()
		broken(&a)
		if _, err := w.issuer.Issue(a); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	if _, err := NewIssuer(issuerURL, func() *keyring.Ring { return &keyring.Ring{} }, w.now).Issue(billing()); !errors.Is(err, keyring.ErrNoSigner) {
		t.Errorf("without a key: %v", err)
	}
}

func TestVerifiedSaysWhatWasIssued(t *testing.T) {
	for _, cacheSize := range []int{0, 100} {
		w := newWorld(t, jose.ES256, cacheSize)
		a := billing()
		a.Resources = []string{"https://other.example.com", api}
		a.APIKeyID = "ak_1"
		issued := w.issue(t, a)
		for range 3 {
			v, err := w.verifier.Verify(issued.Token)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(issued.Claims, v.Claims()); diff != "" {
				t.Error(diff)
			}
			if v.ClientID() != "cl_billing" || v.Subject() != "cl_billing" || !v.Scope().Equal(a.Scope) || !v.Expires().Equal(issued.Expires) || v.KeyID() == "" {
				t.Errorf("%+v", v)
			}
		}
	}
}

// wantInvalid checks that err is an invalid_token whose description holds part.
func wantInvalid(t *testing.T, err error, part string) {
	t.Helper()
	var oe *oauth.Error
	if !errors.As(err, &oe) || oe.Code != oauth.CodeInvalidToken || !strings.Contains(oe.Description, part) {
		t.Errorf("got %v, want invalid_token with %q", err, part)
	}
}

func TestChecklist173(t *testing.T) {
	w := newWorld(t, jose.ES256, 0)
	stranger, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	own, err := w.manager.Current().Signer(w.now())
	if err != nil {
		t.Fatal(err)
	}
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	tests := []struct {
		name   string
		change func(map[string]any)
		want   string // "" for a good token
	}{
		{"unchanged", func(map[string]any) {}, ""},
		{"aud is another resource", set("aud", "https://other.example.com"), "for another resource"},
		{"aud is among several", set("aud", []string{"https://other.example.com", api}), ""},
		{"aud differs by a slash", set("aud", api+"/"), "for another resource"},
		{"no aud", set("aud", nil), "malformed"},
		{"empty aud", set("aud", []string{}), "for another resource"},
		{"expired this second", set("exp", w.now().Unix()), "has expired"},
		{"expires next second", set("exp", w.now().Unix()+1), ""},
		{"no exp", func(c map[string]any) { delete(c, "exp") }, "lacks a required claim"},
		{"exp is a string", set("exp", "4102444800"), "malformed"},
		{"no iat", func(c map[string]any) { delete(c, "iat") }, "lacks a required claim"},
		{"no jti", func(c map[string]any) { delete(c, "jti") }, "lacks a required claim"},
		{"no sub", func(c map[string]any) { delete(c, "sub") }, "lacks a required claim"},
		{"no client_id", func(c map[string]any) { delete(c, "client_id") }, "lacks a required claim"},
		{"client_id in capitals is not client_id", func(c map[string]any) { delete(c, "client_id"); c["CLIENT_ID"] = "x" }, "lacks a required claim"},
		{"issued 30 s ahead", set("iat", w.now().Unix()+30), ""},
		{"issued 5 min ahead", set("iat", w.now().Unix()+300), "not valid yet"},
		{"nbf 30 s ahead", set("nbf", w.now().Unix()+30), ""},
		{"nbf 5 min ahead", set("nbf", w.now().Unix()+300), "not valid yet"},
		{"scope is an array", set("scope", []string{"a"}), "malformed"},
	}
	for _, tt := range tests {
		t.Run("checklist_173 "+tt.name, func(t *testing.T) {
			c := w.claims()
			tt.change(c)
			v, err := w.verifier.Verify(w.sign(t, "at+jwt", c))
			switch {
			case tt.want != "":
				wantInvalid(t, err, tt.want)
			case err != nil:
				t.Error(err)
			case v.ClientID() != "cl_billing":
				t.Errorf("client %q", v.ClientID())
			}
		})
	}
	for _, typ := range []string{"", "JWT", "dpop+jwt", "client-authentication+jwt", "logout+jwt"} {
		t.Run(fmt.Sprintf("checklist_116 typ %q is no access token", typ), func(t *testing.T) {
			_, err := w.verifier.Verify(w.sign(t, typ, w.claims()))
			wantInvalid(t, err, "at+jwt")
		})
	}
	t.Run("checklist_112 application/at+jwt is the same type", func(t *testing.T) {
		if _, err := w.verifier.Verify(w.sign(t, "application/at+jwt", w.claims())); err != nil {
			t.Error(err)
		}
	})
	t.Run("checklist_173 a stranger's key", func(t *testing.T) {
		_, err := w.verifier.Verify(signWith(t, stranger, "at+jwt", w.claims()))
		wantInvalid(t, err, "key that is not accepted")
	})
	t.Run("checklist_173 a stranger's key under our kid", func(t *testing.T) {
		_, err := w.verifier.Verify(signWith(t, stranger.WithID(own.ID()), "at+jwt", w.claims()))
		wantInvalid(t, err, "signature is wrong")
	})
	t.Run("checklist_173 our key without kid", func(t *testing.T) {
		_, err := w.verifier.Verify(signWith(t, own.WithID(""), "at+jwt", w.claims()))
		wantInvalid(t, err, "key that is not accepted")
	})
	t.Run("checklist_115 alg none is refused as ours", func(t *testing.T) {
		parts := strings.Split(w.sign(t, "at+jwt", w.claims()), ".")
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt","kid":"` + own.ID() + `"}`))
		for _, raw := range []string{header + "." + parts[1] + ".", header + "." + parts[1] + "." + parts[2]} {
			_, err := w.verifier.Verify(raw)
			wantInvalid(t, err, "malformed")
		}
	})
	t.Run("checklist_115 HS256 with the public key as secret is refused", func(t *testing.T) {
		parts := strings.Split(w.sign(t, "at+jwt", w.claims()), ".")
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"at+jwt","kid":"` + own.ID() + `"}`))
		_, err := w.verifier.Verify(header + "." + parts[1] + "." + parts[2])
		wantInvalid(t, err, "malformed")
	})
	t.Run("checklist_173 two claims of one name", func(t *testing.T) {
		raw := fmt.Sprintf(`{"iss":%q,"sub":"a","sub":"b","client_id":"a","aud":%q,"jti":"x","iat":1,"exp":4102444800}`, issuerURL, api)
		token, err := own.Sign("at+jwt", []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.verifier.Verify(token); err == nil {
			t.Error("accepted")
		}
	})
}

func TestForeignAndOurs(t *testing.T) {
	w := newWorld(t, jose.ES256, 100)
	stranger, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	other := w.claims()
	other["iss"] = "https://login.example.net"
	almost := w.claims()
	almost["iss"] = issuerURL + "/"
	for name, raw := range map[string]string{
		"empty":                        "",
		"an opaque token":              "2YotnFZFEjr1zCsicMWpAA",
		"three dots of nothing":        "a.b.c",
		"a JWT of another issuer":      signWith(t, stranger, "at+jwt", other),
		"an issuer that looks like us": signWith(t, stranger, "at+jwt", almost),
		"longer than any token":        strings.Repeat("a", jose.MaxTokenSize+1),
	} {
		if _, err := w.verifier.Verify(raw); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v, want ErrForeign", name, err)
		}
	}
	good := w.issue(t, billing()).Token
	for name, raw := range map[string]string{
		"cut short":          good[:len(good)-4],
		"one character more": good + "A",
		"padded":             good + "=",
		"a line break in it": good[:40] + "\n" + good[40:],
	} {
		if _, err := w.verifier.Verify(raw); errors.Is(err, ErrForeign) && name != "a line break in it" || err == nil {
			t.Errorf("%s: %v, want a refusal as our own", name, err)
		}
	}
}

func TestRevocation(t *testing.T) {
	for _, cacheSize := range []int{0, 100} {
		t.Run(fmt.Sprintf("checklist_124 revoked beats verified, cache %d", cacheSize), func(t *testing.T) {
			w := newWorld(t, jose.ES256, cacheSize)
			exchanged := billing()
			exchanged.APIKeyID = "ak_7"
			one, two, three := w.issue(t, billing()), w.issue(t, billing()), w.issue(t, exchanged)
			for _, issued := range []Issued{one, two, three} {
				if _, err := w.verifier.Verify(issued.Token); err != nil {
					t.Fatal(err)
				}
			}
			live := func(want1, want2, want3 bool) {
				t.Helper()
				for i, want := range []bool{want1, want2, want3} {
					for range 2 {
						if _, err := w.verifier.Verify([]Issued{one, two, three}[i].Token); (err == nil) != want {
							t.Errorf("token %d: %v, want live %v", i+1, err, want)
						}
					}
				}
			}
			w.revocations.Add(Revocation{Kind: RevokeToken, ID: one.ID, Expires: one.Expires})
			live(false, true, true)
			w.revocations.Add(Revocation{Kind: RevokeAPIKey, ID: "ak_7", Before: w.now(), Expires: three.Expires})
			live(false, true, false)
			w.revocations.Add(Revocation{Kind: RevokeClient, ID: "cl_other", Before: w.now(), Expires: two.Expires})
			live(false, true, false)
			w.revocations.Add(Revocation{Kind: RevokeClient, ID: "cl_billing", Before: w.now(), Expires: two.Expires})
			live(false, false, false)
			w.advance(time.Second)
			fresh := w.issue(t, billing())
			if _, err := w.verifier.Verify(fresh.Token); err != nil {
				t.Errorf("a token issued after the revocation of its client's tokens: %v", err)
			}
		})
	}
}

func TestARevocationIsNeverTakenBack(t *testing.T) {
	at := time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC)
	var r Revocations
	r.Add(Revocation{Kind: RevokeClient, ID: "a", Before: at, Expires: at.Add(time.Hour)})
	r.Add(Revocation{Kind: RevokeClient, ID: "a", Before: at.Add(-time.Hour), Expires: at.Add(2 * time.Hour)})
	if !r.Revoked(Claims{ClientID: "a", IssuedAt: at}) {
		t.Error("an older revocation took a newer one back")
	}
	g := r.Generation()
	r.Add(Revocation{Kind: RevokeClient, ID: "a", Before: at, Expires: at})
	if r.Generation() != g {
		t.Error("nothing new changes the generation")
	}
	r.Prune(at.Add(90 * time.Minute))
	if r.Len() != 1 {
		t.Error("forgotten before the longer life of the two")
	}
	r.Prune(at.Add(3 * time.Hour))
	if r.Len() != 0 {
		t.Error("kept for ever")
	}
}

func TestG15(t *testing.T) {
	w := newWorld(t, jose.ES256, 1000)
	t.Run("G-15 one audience's verifier does not answer for another", func(t *testing.T) {
		issued := w.issue(t, billing())
		if _, err := w.verifier.Verify(issued.Token); err != nil {
			t.Fatal(err)
		}
		_, err := w.verifierFor("https://other.example.com", 1000).Verify(issued.Token)
		wantInvalid(t, err, "for another resource")
	})
	t.Run("G-15 a remembered token expires", func(t *testing.T) {
		w := newWorld(t, jose.ES256, 1000)
		issued := w.issue(t, billing())
		if _, err := w.verifier.Verify(issued.Token); err != nil {
			t.Fatal(err)
		}
		w.advance(10 * time.Minute)
		_, err := w.verifier.Verify(issued.Token)
		wantInvalid(t, err, "has expired")
	})
	t.Run("G-15 refused tokens are not remembered", func(t *testing.T) {
		w := newWorld(t, jose.ES256, 1000)
		for i := range 3000 {
			_, _ = w.verifier.Verify(fmt.Sprintf("a.b.%d", i))
		}
		issued := w.issue(t, billing())
		for i := range 300 {
			raw := []byte(issued.Token)
			raw[len(raw)-2-i%60] ^= 1
			_, _ = w.verifier.Verify(string(raw))
		}
		if n := w.verifier.cache.len(); n != 0 {
			t.Errorf("%d entries", n)
		}
	})
	t.Run("G-15 the cache is bounded", func(t *testing.T) {
		w := newWorld(t, jose.EdDSA, 64)
		for range 400 {
			if _, err := w.verifier.Verify(w.issue(t, billing()).Token); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.verifier.cache.len(); n > 64 || n == 0 {
			t.Errorf("%d entries, capacity 64", n)
		}
	})
	t.Run("checklist_119 tokens of a dropped key are refused, remembered or not", func(t *testing.T) {
		w := newWorld(t, jose.ES256, 1000)
		issued, unseen := w.issue(t, billing()), w.issue(t, billing())
		v, err := w.verifier.Verify(issued.Token)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.manager.Drop(t.Context(), v.KeyID(), audit.Event{}); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{issued.Token, unseen.Token} {
			_, err = w.verifier.Verify(token)
			wantInvalid(t, err, "key that is not accepted")
		}
	})
}

func TestRevocationDuringVerificationIsNotLost(t *testing.T) {
	w := newWorld(t, jose.EdDSA, 1000)
	for range 200 {
		issued := w.issue(t, billing())
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _, _ = w.verifier.Verify(issued.Token) })
		}
		wg.Go(func() {
			w.revocations.Add(Revocation{Kind: RevokeToken, ID: issued.ID, Expires: issued.Expires})
			if _, err := w.verifier.Verify(issued.Token); err == nil {
				t.Error("accepted after the revocation was acknowledged")
			}
		})
		wg.Wait()
		if _, err := w.verifier.Verify(issued.Token); err == nil {
			t.Fatal("a verification that was under way has hidden the revocation")
		}
	}
}

func TestAnyAudienceLeavesAudToTheCaller(t *testing.T) {
	w := newWorld(t, jose.ES256, 0)
	v := NewVerifier(VerifierOptions{Issuer: issuerURL, AnyAudience: true, Ring: w.manager.Current, Now: w.now})
	a := billing()
	a.Resources = []string{"https://other.example.com"}
	if _, err := v.Verify(w.issue(t, a).Token); err != nil {
		t.Error(err)
	}
}

func TestAVerifierWithoutAudienceIsNotMade(t *testing.T) {
	w := newWorld(t, jose.ES256, 0)
	defer func() {
		if recover() == nil {
			t.Error("made a verifier that believes tokens for anyone")
		}
	}()
	NewVerifier(VerifierOptions{Issuer: issuerURL, Ring: w.manager.Current, Now: w.now})
}

func TestACachedHitAllocatesAtMostOnce(t *testing.T) {
	w := newWorld(t, jose.ES256, 100)
	token := w.issue(t, billing()).Token
	if n := testing.AllocsPerRun(200, func() {
		if _, err := w.verifier.Verify(token); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzVerify(f *testing.F) {
	w := newWorld(f, jose.EdDSA, 100)
	good := w.issue(f, billing()).Token
	f.Add(good)
	f.Add(w.sign(f, "at+jwt", map[string]any{"iss": issuerURL}))
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := w.verifier.Verify(raw)
		if err == nil && raw != good {
			t.Errorf("accepted what was never issued: %q as %+v", raw, v)
		}
		var oe *oauth.Error
		if err != nil && !errors.Is(err, ErrForeign) && !(errors.As(err, &oe) && oe.Code == oauth.CodeInvalidToken) {
			t.Errorf("neither foreign nor invalid_token: %v", err)
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA} {
		b.Run(string(alg), func(b *testing.B) {
			w := newWorld(b, alg, 0)
			a := billing()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.issuer.Issue(a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for name, cacheSize := range map[string]int{"uncached": 0, "cached": 1000} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, jose.ES256, cacheSize)
			token := w.issue(b, billing()).Token
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.verifier.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
