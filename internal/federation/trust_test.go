package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/test/farside"
)

const ours = "https://auth.example.com"

// trustWorld is a Trust with rules, a clock and an issuer on the far side.
type trustWorld struct {
	*Trust
	far   *farside.Issuer
	clock *moving
	rules []*client.TrustRule
	mu    sync.Mutex
	spent map[string]bool
}

func (w *trustWorld) SpendAssertion(_ context.Context, by, jti string, _ time.Time) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.spent[by+" "+jti]
	w.spent[by+" "+jti] = true
	return !seen, nil
}

func newTrustWorld(t *testing.T, change func(*Options)) *trustWorld {
	t.Helper()
	w := &trustWorld{far: farside.NewIssuer(t), clock: newMoving(), spent: map[string]bool{}}
	o := Options{AllowPrivate: true}
	if change != nil {
		change(&o)
	}
	f, err := NewFetcher(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Trust = NewTrust(TrustOptions{Fetcher: f, Spender: w, Rules: func() []*client.TrustRule { return w.rules }, Issuer: ours, Now: w.clock.now})
	return w
}

// rule adds one for the far side.
func (w *trustWorld) rule(change func(*client.TrustRule)) *client.TrustRule {
	r := &client.TrustRule{ID: fmt.Sprintf("tr_%d", len(w.rules)), For: client.TrustClient, ClientID: "ci", Kind: client.TrustOIDC, Issuer: w.far.URL, Subject: "job:*", MaxAge: time.Hour}
	if change != nil {
		change(r)
	}
	w.rules = append(w.rules, r)
	return r
}

var serial int

// token is a good one, with some claims changed; nil ones are left out.
func (w *trustWorld) token(t *testing.T, typ string, changes map[string]any) string {
	t.Helper()
	serial++
	now := w.clock.now().Unix()
	claims := map[string]any{"iss": w.far.URL, "sub": "job:7", "aud": ours, "iat": now, "exp": now + 300, "jti": fmt.Sprint(serial)}
	for name, v := range changes {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return w.far.Sign(t, typ, claims)
}

func (w *trustWorld) identify(t *testing.T, token string, more ...string) (client.Identified, error) {
	t.Helper()
	p := client.Presented{Token: token, For: client.TrustClient}
	if len(more) > 0 {
		p.ClientID = more[0]
	}
	return w.Identify(t.Context(), p)
}

// failsBy wants a failure of that cause.
func failsBy(t *testing.T, err error, cause string) {
	t.Helper()
	var f *client.TrustFailure
	if !errors.As(err, &f) || f.Cause != cause {
		t.Errorf("got %v, want %s", err, cause)
	}
}

func accepted(t *testing.T, found client.Identified, err error, clientID string) {
	t.Helper()
	if err != nil || found.Rule.ClientID != clientID {
		t.Errorf("got %q, %v, want %q", found.Rule.ClientID, err, clientID)
	}
}

func TestTokensAsWorkloadsReallyHaveThem(t *testing.T) {
	tests := map[string]struct {
		from, subject string
		where         []client.Condition
		typ           string
		claims        map[string]any
	}{
		"GitHub": {
			from: "github:acme/shop:ref:refs/heads/main", typ: "JWT", claims: map[string]any{
				"sub": "repo:acme/shop:ref:refs/heads/main", "repository": "acme/shop", "repository_owner": "acme", "repository_id": "74", "ref": "refs/heads/main",
				"event_name": "push", "runner_environment": "github-hosted", "nbf": nil,
			},
		},
		"GitLab": {
			from: "gitlab:acme/sub/shop", typ: "JWT", claims: map[string]any{
				"sub": "project_path:acme/sub/shop:ref_type:branch:ref:main", "project_path": "acme/sub/shop", "namespace_path": "acme/sub", "ref_protected": "true", "user_login": "ana",
			},
		},
		"Kubernetes": {
			from: "kubernetes:", subject: "system:serviceaccount:prod:api", where: []client.Condition{{Claim: "/kubernetes.io/namespace", AnyOf: []client.Pattern{"prod"}}},
			claims: map[string]any{
				"sub": "system:serviceaccount:prod:api", "aud": []string{ours}, "kubernetes.io": map[string]any{"namespace": "prod", "serviceaccount": map[string]any{"name": "api", "uid": "u"}},
			},
		},
		"SPIFFE": {
			from: "spiffe://acme.example/ns/*/sa/api", typ: "JWT",
			claims: map[string]any{"iss": nil, "jti": nil, "sub": "spiffe://acme.example/ns/prod/sa/api", "aud": []string{ours}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newTrustWorld(t, nil)
			from := tt.from
			if from == "kubernetes:" {
				from += w.far.URL
			}
			r, err := client.TrustFrom(from)
			if err != nil {
				t.Fatal(err)
			}
			r.ID, r.For, r.ClientID, r.Where = "tr_1", client.TrustClient, "ci", append(r.Where, tt.where...)
			if tt.subject != "" {
				r.Subject = client.Pattern(tt.subject)
			}
			switch r.Kind {
			case client.TrustSPIFFE:
				x509, _ := json.Marshal(map[string]string{"kty": "EC", "crv": "P-384", "use": "x509-svid", "x": "", "y": ""})
				w.far.Publish("jwt-svid", x509)
				r.JWKSURI = w.far.URL + "/keys"
			case client.TrustGitHub, client.TrustGitLab:
				r.Issuer = w.far.URL
			}
			if err := r.Check(); err != nil {
				t.Fatal(err)
			}
			w.rules = append(w.rules, &r)
			raw := w.token(t, tt.typ, tt.claims)
			found, err := w.identify(t, raw)
			accepted(t, found, err, "ci")
			_, err = w.identify(t, raw)
			switch {
			case r.Reusable && err != nil:
				t.Errorf("checklist_105 the same token again, as its issuer hands it out: %v", err)
			case !r.Reusable:
				failsBy(t, err, client.TrustReplayed)
			}
			tt.claims["sub"] = strings.Replace(tt.claims["sub"].(string), "acme", "evil", 1) + ":x"
			_, err = w.identify(t, w.token(t, tt.typ, tt.claims))
			failsBy(t, err, client.TrustUnproved)
		})
	}
}

func TestWhatIsWrongWithATokenIsSaidToWhomItHelps(t *testing.T) {
	w := newTrustWorld(t, nil)
	w.rule(nil)
	other := farside.NewIssuer(t)
	now := w.clock.now().Unix()
	for name, tt := range map[string]struct {
		token string
		cause string
	}{
		"no JWT":                         {"a.b", client.TrustShape},
		"not signed":                     {"eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.", client.TrustShape},
		"claims of a wrong type":         {w.token(t, "", map[string]any{"exp": "tomorrow"}), client.TrustShape},
		"an issuer that nobody named":    {w.token(t, "", map[string]any{"iss": other.URL}), client.TrustUnproved},
		"no issuer":                      {w.token(t, "", map[string]any{"iss": nil}), client.TrustUnproved},
		"the keys of somebody else":      {other.Sign(t, "", map[string]any{"iss": w.far.URL, "sub": "job:7", "aud": ours, "iat": now, "exp": now + 60, "jti": "x"}), client.TrustUnproved},
		"a subject that no rule has":     {w.token(t, "", map[string]any{"sub": "human:7"}), client.TrustUnproved},
		"another subject and no aud too": {w.token(t, "", map[string]any{"sub": "human:7", "aud": nil}), client.TrustUnproved},
		"another audience":               {w.token(t, "", map[string]any{"aud": "https://api.example.com"}), client.TrustAudience},
		"expired":                        {w.token(t, "", map[string]any{"exp": now - 60}), client.TrustClock},
		"too old":                        {w.token(t, "", map[string]any{"iat": now - 4000}), client.TrustLifetime},
		"without a jti":                  {w.token(t, "", map[string]any{"jti": nil}), client.TrustShape},
		"an access token":                {w.token(t, "at+jwt", nil), client.TrustShape},
		"for a person":                   {w.token(t, "oauth-id-jag+jwt", nil), client.TrustShape},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.identify(t, tt.token)
			failsBy(t, err, tt.cause)
			if tt.cause == client.TrustUnproved && strings.Contains(err.(*client.TrustFailure).Description, "job") {
				t.Errorf("tells strangers what the rules want: %v", err)
			}
		})
	}
	if len(w.spent) != 0 {
		t.Errorf("refused tokens have written %v", w.spent)
	}
}

func TestADisabledRuleIsNone(t *testing.T) {
	w := newTrustWorld(t, nil)
	r := w.rule(nil)
	raw := w.token(t, "", nil)
	r.Disabled = true
	_, err := w.identify(t, raw)
	failsBy(t, err, client.TrustUnproved)
	r.Disabled, r.For, r.ClientID = false, client.TrustStatements, ""
	_, err = w.identify(t, raw)
	failsBy(t, err, client.TrustUnproved)
}

func TestOurOwnTokensAreNoFederation(t *testing.T) {
	w := newTrustWorld(t, nil)
	w.rule(func(r *client.TrustRule) { r.Issuer, r.JWKSURI = ours, w.far.URL+"/keys" })
	_, err := w.identify(t, w.token(t, "", map[string]any{"iss": ours}))
	failsBy(t, err, client.TrustUnproved)
}

func TestATokenForSeveralClientsNeedsAName(t *testing.T) {
	w := newTrustWorld(t, nil)
	w.rule(nil)
	w.rule(func(r *client.TrustRule) { r.ClientID, r.Subject = "deploy", "job:7" })
	_, err := w.identify(t, w.token(t, "", nil))
	failsBy(t, err, client.TrustChoice)
	for _, id := range []string{"ci", "deploy"} {
		found, err := w.identify(t, w.token(t, "", nil), id)
		accepted(t, found, err, id)
	}
	_, err = w.identify(t, w.token(t, "", nil), "admin")
	failsBy(t, err, client.TrustUnproved)
	found, err := w.identify(t, w.token(t, "", map[string]any{"sub": "job:8"}))
	accepted(t, found, err, "ci")
}

func TestASPIFFEClientMayNameItselfByItsID(t *testing.T) {
	w := newTrustWorld(t, nil)
	w.far.Publish("jwt-svid")
	w.rule(func(r *client.TrustRule) {
		r.Kind, r.Issuer, r.Subject, r.JWKSURI, r.Reusable = client.TrustSPIFFE, "spiffe://acme.example", "spiffe://acme.example/*", w.far.URL+"/keys", true
	})
	raw := w.token(t, "", map[string]any{"sub": "spiffe://acme.example/api"})
	for _, id := range []string{"", "ci", "spiffe://acme.example/api"} {
		found, err := w.identify(t, raw, id)
		accepted(t, found, err, "ci")
	}
	_, err := w.identify(t, raw, "spiffe://acme.example/other")
	failsBy(t, err, client.TrustUnproved)
	t.Run("keys for certificates sign no tokens", func(t *testing.T) {
		w.far.Publish("x509-svid")
		w.clock.at.Add(7200)
		_, err := w.identify(t, w.token(t, "", map[string]any{"sub": "spiffe://acme.example/api"}))
		failsBy(t, err, client.TrustKeys)
	})
}

func TestAnIssuerRotatesItsKeys(t *testing.T) {
	w := newTrustWorld(t, nil)
	w.rule(nil)
	old := w.token(t, "", nil)
	found, err := w.identify(t, w.token(t, "", nil))
	accepted(t, found, err, "ci")
	hits := w.far.Hits()
	w.far.Rotate(t, jose.RS256)
	found, err = w.identify(t, w.token(t, "", nil))
	accepted(t, found, err, "ci")
	if n := w.far.Hits() - hits; n != 1 {
		t.Errorf("asked %d times", n)
	}
	t.Run("the key that is gone proves nothing", func(t *testing.T) {
		w.clock.at.Add(3600)
		_, err := w.identify(t, old)
		failsBy(t, err, client.TrustUnproved)
	})
}

func TestKeysAreBelievedForTwoHoursAtMost(t *testing.T) {
	w := newTrustWorld(t, nil)
	w.rule(nil)
	found, err := w.identify(t, w.token(t, "", nil))
	accepted(t, found, err, "ci")
	w.far.Down(true)
	// The far side says no-store, so that its keys are fresh for a minute and
	// used for an hour more.
	w.clock.at.Add(3600)
	found, err = w.identify(t, w.token(t, "", nil))
	accepted(t, found, err, "ci")
	w.clock.at.Add(120)
	_, err = w.identify(t, w.token(t, "", nil))
	failsBy(t, err, client.TrustKeys)
	w.far.Down(false)
	w.clock.at.Add(31)
	found, err = w.identify(t, w.token(t, "", nil))
	accepted(t, found, err, "ci")
}

func TestChecklist28TheIssuerIsFetchedThroughTheGuard(t *testing.T) {
	// checklist_28: nothing is fetched from loopback unless that is allowed
	w := newTrustWorld(t, func(o *Options) { o.AllowPrivate = false })
	w.rule(nil)
	_, err := w.identify(t, w.token(t, "", nil))
	failsBy(t, err, client.TrustKeys)
	if w.far.Hits() != 0 {
		t.Error("the issuer was reached")
	}
}

func TestMetadataOfAnotherIssuerLeadsToNoKeys(t *testing.T) {
	w := newTrustWorld(t, nil)
	w.rule(nil)
	w.far.Lie("https://evil.example")
	_, err := w.identify(t, w.token(t, "", nil))
	failsBy(t, err, client.TrustKeys)
}

func TestKeysThatAreGivenNeedNoIssuer(t *testing.T) {
	w := newTrustWorld(t, nil)
	w.rule(func(r *client.TrustRule) { r.Keys = jose.KeySet{Keys: []jose.PublicKey{w.far.Key().Public()}} })
	w.far.Down(true)
	found, err := w.identify(t, w.token(t, "", nil))
	accepted(t, found, err, "ci")
	if w.far.Hits() != 0 {
		t.Error("the issuer was asked")
	}
}

func TestExamineSaysWhichConditionDoesNotHold(t *testing.T) {
	w := newTrustWorld(t, nil)
	r := w.rule(func(r *client.TrustRule) {
		r.Where = []client.Condition{{Claim: "env", AnyOf: []client.Pattern{"prod"}}}
	})
	examine := func(raw string) client.Examined {
		t.Helper()
		out, err := w.Examine(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good := w.token(t, "", map[string]any{"env": "prod"})
	for range 2 { // looking spends nothing
		if out := examine(good); out.Matched != r.ID || out.ClientID != "ci" || out.Reason != "" || !out.Signature {
			t.Errorf("%+v", out)
		}
	}
	if out := examine(w.token(t, "", map[string]any{"env": "dev"})); out.Matched != "" || out.Reason != "no rule fits: claim env" {
		t.Errorf("%+v", out)
	}
	r.Disabled = true
	if out := examine(good); out.Reason != "no rule fits: enabled" {
		t.Errorf("%+v", out)
	}
	r.Disabled = false
	w.far.Down(true)
	w.clock.at.Add(7300)
	if out := examine(good); out.Signature || !strings.Contains(out.Rules[0].Findings[0].Got, "503") {
		t.Errorf("%+v", out)
	}
	w.rules = nil
	if out := examine(good); out.Reason != "no rule names its issuer" || len(out.Rules) != 0 {
		t.Errorf("%+v", out)
	}
}

func FuzzForeignIssuer(f *testing.F) {
	for _, raw := range []string{`{"issuer":"https://a.example","jwks_uri":"https://a.example/k"}`, `{}`, `[]`, `{"issuer":1}`, `{"issuer":"a","issuer":"b","jwks_uri":"c"}`} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := parseIssuer(raw); err == nil && (m.Issuer == "" || m.JWKSURI == "") {
			t.Errorf("%s reads as %+v", raw, m)
		}
	})
}
