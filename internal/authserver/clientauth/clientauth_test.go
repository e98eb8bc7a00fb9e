package clientauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

const (
	issuer        = "https://auth.example.com"
	tokenEndpoint = "https://auth.example.com/token"
	home          = "198.51.100.7"
)

// far is storage and the clients' key sets, as their interfaces promise them.
type far struct {
	mu      sync.Mutex
	clients map[string]*client.Client
	spent   map[[2]string]time.Time
	broken  error
	sets    map[string]jose.KeySet // before Refresh
	fresh   map[string]jose.KeySet // after
	asked   []string
}

func (f *far) Client(_ context.Context, id string) (*client.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	if c := f.clients[id]; c != nil {
		return c, nil
	}
	return nil, client.ErrNotFound
}

func (f *far) SpendAssertion(_ context.Context, clientID, jti string, expires time.Time) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return false, f.broken
	}
	_, seen := f.spent[[2]string{clientID, jti}]
	f.spent[[2]string{clientID, jti}] = expires
	return !seen, nil
}

func (f *far) KeySet(_ context.Context, uri string) (jose.KeySet, error) {
	f.asked = append(f.asked, uri)
	if set, ok := f.sets[uri]; ok {
		return set, nil
	}
	return jose.KeySet{}, errors.New("not reachable")
}

func (f *far) Refresh(_ context.Context, uri string) (jose.KeySet, error) {
	f.asked = append(f.asked, "refresh "+uri)
	if set, ok := f.fresh[uri]; ok {
		return set, nil
	}
	return f.KeySet(context.Background(), uri)
}

// world is an Authenticator with a clock, and what it told.
type world struct {
	*Authenticator
	far    *far
	at     time.Time
	failed []string
	compat []string
	used   []string
	work   map[string]int
	mu     sync.Mutex
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{at: time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC), work: map[string]int{}}
	w.far = &far{clients: map[string]*client.Client{}, spent: map[[2]string]time.Time{}, sets: map[string]jose.KeySet{}, fresh: map[string]jose.KeySet{}}
	a, err := New(Options{
		Issuer: issuer, TokenEndpoint: tokenEndpoint, Clients: w.far, Spender: w.far, KeySets: w.far,
		Failures: NewFailures(FailureLimits{}), Now: func() time.Time { return w.at },
		Failed: func(cause string) { w.mu.Lock(); defer w.mu.Unlock(); w.failed = append(w.failed, cause) },
		Compat: func(c *client.Client, what string) { w.compat = append(w.compat, c.ID+" "+what) },
		Used: func(c, cr string, at time.Time) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.used = append(w.used, c+" "+cr)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.observe = func(work string) { w.mu.Lock(); defer w.mu.Unlock(); w.work[work]++ }
	w.Authenticator = a
	return w
}

// secretClient registers a client with a new secret.
func (w *world) secretClient(id, method string) string {
	s := secret.Generate(secret.KindClientSecret).Reveal()
	w.far.clients[id] = &client.Client{
		ID: id, Status: client.Active, AuthMethod: method,
		Credentials: []client.Credential{{ID: "cr_1", Kind: client.KindSecret, Hash: secret.HashOf(s)}},
	}
	return s
}

// keyClient registers a client with a new key.
func (w *world) keyClient(t testing.TB, id string, alg jose.Algorithm) (*client.Client, *jose.SigningKey) {
	t.Helper()
	key := newKey(t, alg)
	public := key.Public()
	c := &client.Client{
		ID: id, Status: client.Active, AuthMethod: oauth.AuthPrivateKeyJWT, Audience: client.Strict,
		Credentials: []client.Credential{{ID: "cr_1", Kind: client.KindJWK, Key: &public}},
	}
	w.far.clients[id] = c
	return c, key
}

func newKey(t testing.TB, alg jose.Algorithm) *jose.SigningKey {
	t.Helper()
	key, err := jose.GenerateSigningKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var serial atomic.Int64

// claims are those of a good assertion, with a jti of its own.
func (w *world) claims(id string) map[string]any {
	return map[string]any{
		"iss": id, "sub": id, "aud": issuer, "jti": "j" + strconv.FormatInt(serial.Add(1), 10),
		"iat": w.at.Unix(), "exp": w.at.Add(time.Minute).Unix(),
	}
}

func sign(t testing.TB, key *jose.SigningKey, typ string, claims map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := key.Sign(typ, raw)
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

func form(t testing.TB, pairs ...string) oauth.Params {
	t.Helper()
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	p, err := oauth.ParseParams(v.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func asserted(t testing.TB, jwt string, more ...string) oauth.Params {
	t.Helper()
	return form(t, append([]string{"client_assertion_type", oauth.AssertionTypeJWTBearer, "client_assertion", jwt}, more...)...)
}

func (w *world) try(f oauth.Params, authorization ...string) (Authenticated, error) {
	return w.tryFrom(home, f, authorization...)
}

func (w *world) tryFrom(source string, f oauth.Params, authorization ...string) (Authenticated, error) {
	return w.Authenticate(context.Background(), Request{
		Authorization: authorization, Form: f, Endpoint: issuer + "/revoke", Source: netip.MustParseAddr(source),
	})
}

func wantClient(t *testing.T, who Authenticated, err error, id, method string) {
	t.Helper()
	if err != nil {
		t.Errorf("refused: %v", err)
		return
	}
	if who.Client() == nil || who.Client().ID != id || who.Method() != method {
		t.Errorf("got %+v, want %s by %s", who, id, method)
	}
}

func wantRefused(t *testing.T, who Authenticated, err error, code, part string) *oauth.Error {
	t.Helper()
	var e *oauth.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Description, part) {
		t.Errorf("got %v, want %s with %q", err, code, part)
		return &oauth.Error{}
	}
	if who != (Authenticated{}) {
		t.Errorf("refused, and yet it is %+v", who)
	}
	if clean := oauth.CleanDescription(e.Description); clean != e.Description {
		t.Errorf("checklist_5: %q has characters that cannot be sent", e.Description)
	}
	return e
}

const invalidClient = oauth.CodeInvalidClient

func TestSecrets(t *testing.T) {
	w := newWorld(t)
	s := w.secretClient("billing", oauth.AuthClientSecretBasic)
	posted := w.secretClient("shop", oauth.AuthClientSecretPost)

	t.Run("client_secret_basic", func(t *testing.T) {
		who, err := w.try(form(t), oauth.FormatBasic("billing", s))
		wantClient(t, who, err, "billing", oauth.AuthClientSecretBasic)
		if who.Credential() != "cr_1" || !slices.Contains(w.used, "billing cr_1") {
			t.Errorf("credential %q, told %v", who.Credential(), w.used)
		}
	})
	t.Run("checklist_15 client_secret_post", func(t *testing.T) {
		who, err := w.try(form(t, "client_id", "shop", "client_secret", posted))
		wantClient(t, who, err, "shop", oauth.AuthClientSecretPost)
	})
	t.Run("checklist_7 the scheme's letters may be small", func(t *testing.T) {
		who, err := w.try(form(t), "bAsIc "+strings.TrimPrefix(oauth.FormatBasic("billing", s), "Basic "))
		wantClient(t, who, err, "billing", oauth.AuthClientSecretBasic)
	})
	for _, id := range []string{"a:b", "a%b", "a+b", "a b", "ä", "%3A", "a/b?c"} {
		t.Run("checklist_14 an id and a secret are form-decoded: "+id, func(t *testing.T) {
			odd := "x:%+ ü" + id
			w.far.clients[id] = &client.Client{ID: id, Status: client.Active, AuthMethod: oauth.AuthClientSecretBasic,
				Credentials: []client.Credential{{ID: "cr_1", Kind: client.KindSecret, Hash: secret.HashOf(odd)}}}
			who, err := w.try(form(t), oauth.FormatBasic(id, odd))
			wantClient(t, who, err, id, oauth.AuthClientSecretBasic)
		})
	}
	t.Run("checklist_16 a wrong secret in the header is answered with its scheme", func(t *testing.T) {
		who, err := w.try(form(t), oauth.FormatBasic("billing", s+"x"))
		e := wantRefused(t, who, err, invalidClient, "client authentication failed")
		if e.Status != 401 || e.Scheme != "Basic" {
			t.Errorf("status %d, scheme %q", e.Status, e.Scheme)
		}
	})
	t.Run("checklist_16 so is a scheme that is not taken", func(t *testing.T) {
		who, err := w.try(form(t), "Bearer abc")
		if e := wantRefused(t, who, err, invalidClient, "another scheme"); e.Scheme != "Basic" {
			t.Errorf("scheme %q", e.Scheme)
		}
	})
	for _, bad := range []string{"Basic", "Basic !!!", "Basic " + "YQ==", "Basic Og=="} {
		t.Run("checklist_14 unreadable: "+bad, func(t *testing.T) {
			who, err := w.try(form(t), bad)
			wantRefused(t, who, err, invalidClient, "Authorization header")
		})
	}
	t.Run("checklist_18 a right secret sent another way is refused and says how", func(t *testing.T) {
		who, err := w.try(form(t, "client_id", "billing", "client_secret", s))
		wantRefused(t, who, err, invalidClient, "client_secret_basic, in the Authorization header")
		who, err = w.try(form(t), oauth.FormatBasic("shop", posted))
		wantRefused(t, who, err, invalidClient, "client_secret_post, in the body")
	})
	t.Run("checklist_18 a wrong secret does not learn how", func(t *testing.T) {
		who, err := w.try(form(t, "client_id", "billing", "client_secret", s+"x"))
		if e := wantRefused(t, who, err, invalidClient, ""); e.Description != unprovedSecret {
			t.Errorf("got %q", e.Description)
		}
	})
	t.Run("checklist_18 a private_key_jwt client has no secret to use", func(t *testing.T) {
		w := newWorld(t)
		c, _ := w.keyClient(t, "keyed", jose.ES256)
		c.Credentials = append(c.Credentials, client.Credential{ID: "cr_2", Kind: client.KindSecret, Hash: secret.HashOf("s")})
		who, err := w.try(form(t), oauth.FormatBasic("keyed", "s"))
		wantRefused(t, who, err, invalidClient, "private_key_jwt")
		who, err = w.try(form(t, "client_id", "keyed"))
		wantRefused(t, who, err, invalidClient, "no client authentication")
	})
	t.Run("checklist_20 client_id beside Basic must match", func(t *testing.T) {
		who, err := w.try(form(t, "client_id", "billing"), oauth.FormatBasic("billing", s))
		wantClient(t, who, err, "billing", oauth.AuthClientSecretBasic)
		who, err = w.try(form(t, "client_id", "shop"), oauth.FormatBasic("billing", s))
		wantRefused(t, who, err, oauth.CodeInvalidRequest, "another client")
	})
	t.Run("checklist_2 an empty secret is no secret", func(t *testing.T) {
		who, err := w.try(form(t, "client_id", "shop", "client_secret", ""))
		wantRefused(t, who, err, invalidClient, "no client authentication")
		who, err = w.try(form(t), oauth.FormatBasic("billing", ""))
		wantRefused(t, who, err, invalidClient, "client authentication failed")
	})
	t.Run("a secret without client_id", func(t *testing.T) {
		who, err := w.try(form(t, "client_secret", posted))
		wantRefused(t, who, err, oauth.CodeInvalidRequest, "without client_id")
	})
	t.Run("nothing at all", func(t *testing.T) {
		who, err := w.try(form(t))
		wantRefused(t, who, err, invalidClient, "no client authentication")
	})
}

func TestChecklist36(t *testing.T) {
	w := newWorld(t)
	first := w.secretClient("billing", oauth.AuthClientSecretBasic)
	c := w.far.clients["billing"]
	second := secret.Generate(secret.KindClientSecret).Reveal()
	c.Credentials = append(c.Credentials,
		client.Credential{ID: "cr_2", Kind: client.KindSecret, Hash: secret.HashOf(second)},
		client.Credential{ID: "cr_3", Kind: client.KindSecret}) // no hash: matches nothing
	t.Run("checklist_36 two secrets live at once", func(t *testing.T) {
		for id, s := range map[string]string{"cr_1": first, "cr_2": second} {
			who, err := w.try(form(t), oauth.FormatBasic("billing", s))
			wantClient(t, who, err, "billing", oauth.AuthClientSecretBasic)
			if who.Credential() != id {
				t.Errorf("proved by %s, want %s", who.Credential(), id)
			}
		}
	})
	t.Run("checklist_36 one that expired says so, to whoever has it", func(t *testing.T) {
		c.Credentials[0].Expires = w.at
		who, err := w.try(form(t), oauth.FormatBasic("billing", first))
		wantRefused(t, who, err, invalidClient, "expired at 2027-01-15T10:00:00Z")
		who, err = w.try(form(t), oauth.FormatBasic("billing", second))
		wantClient(t, who, err, "billing", oauth.AuthClientSecretBasic)
	})
	t.Run("checklist_36 a disabled client is refused", func(t *testing.T) {
		for _, status := range []client.Status{client.Disabled, "", "else"} {
			c.Status = status
			who, err := w.try(form(t), oauth.FormatBasic("billing", second))
			wantRefused(t, who, err, invalidClient, "disabled")
		}
		c.Status = client.Active
	})

	// An unknown client must cost what a wrong secret or signature costs: the
	// steps are counted, for a clock proves nothing.
	work := func(t *testing.T, f oauth.Params, authorization ...string) map[string]int {
		t.Helper()
		w.work = map[string]int{}
		who, err := w.tryFrom("203.0.113."+strconv.FormatInt(serial.Add(1)%250, 10), f, authorization...)
		wantRefused(t, who, err, invalidClient, "client authentication failed")
		return w.work
	}
	t.Run("checklist_36 an unknown client costs what a wrong secret costs", func(t *testing.T) {
		one := w.secretClient("one", oauth.AuthClientSecretBasic)
		wrong := work(t, form(t), oauth.FormatBasic("one", one+"x"))
		for _, id := range []string{"nobody", strings.Repeat("n", 1000)} {
			if unknown := work(t, form(t), oauth.FormatBasic(id, one)); !maps.Equal(wrong, unknown) {
				t.Errorf("unknown client: %v, wrong secret: %v", unknown, wrong)
			}
		}
		w.keyClient(t, "keyed", jose.ES256)
		if other := work(t, form(t), oauth.FormatBasic("keyed", one)); !maps.Equal(wrong, other) {
			t.Errorf("a client without secret: %v, wrong secret: %v", other, wrong)
		}
	})
	for _, alg := range jose.ClientAlgorithms {
		t.Run("checklist_36 an unknown client costs what a wrong signature costs: "+string(alg), func(t *testing.T) {
			c, _ := w.keyClient(t, "keyed", alg)
			stranger := newKey(t, alg).WithID(c.Credentials[0].Key.ID)
			wrong := work(t, asserted(t, sign(t, stranger, "", w.claims("keyed"))))
			if wrong["verify"] != 1 {
				t.Fatalf("a wrong signature cost %v", wrong)
			}
			for _, id := range []string{"nobody", "billing"} {
				if unknown := work(t, asserted(t, sign(t, stranger, "", w.claims(id)))); !maps.Equal(wrong, unknown) {
					t.Errorf("%s: %v, wrong signature: %v", id, unknown, wrong)
				}
			}
			if otherKid := work(t, asserted(t, sign(t, stranger.WithID("other"), "", w.claims("keyed")))); !maps.Equal(wrong, otherKid) {
				t.Errorf("unknown kid: %v, wrong signature: %v", otherKid, wrong)
			}
		})
	}
	t.Run("checklist_36 and has the same words", func(t *testing.T) {
		_, unknown := w.try(form(t), oauth.FormatBasic("nobody", "x"))
		_, wrong := w.try(form(t), oauth.FormatBasic("billing", "x"))
		if unknown.Error() != wrong.Error() {
			t.Errorf("%q and %q", unknown, wrong)
		}
	})
}

func TestChecklist13(t *testing.T) {
	w := newWorld(t)
	s := w.secretClient("billing", oauth.AuthClientSecretBasic)
	_, key := w.keyClient(t, "keyed", jose.ES256)
	basic := oauth.FormatBasic("billing", s)
	for name, r := range map[string]struct {
		form          oauth.Params
		authorization []string
	}{
		"Basic and client_secret":          {form(t, "client_id", "billing", "client_secret", s), []string{basic}},
		"Basic and assertion":              {asserted(t, sign(t, key, "", w.claims("keyed"))), []string{basic}},
		"empty Basic and assertion":        {asserted(t, sign(t, key, "", w.claims("keyed"))), []string{oauth.FormatBasic("keyed", "")}},
		"client_secret and assertion":      {asserted(t, sign(t, key, "", w.claims("keyed")), "client_secret", s), nil},
		"client_secret and assertion type": {form(t, "client_id", "billing", "client_secret", s, "client_assertion_type", "x"), nil},
		"two Authorization headers":        {form(t), []string{basic, basic}},
		"all three":                        {asserted(t, sign(t, key, "", w.claims("keyed")), "client_secret", s), []string{basic}},
	} {
		t.Run("checklist_13 "+name, func(t *testing.T) {
			who, err := w.try(r.form, r.authorization...)
			wantRefused(t, who, err, oauth.CodeInvalidRequest, "more than one client authentication method")
		})
	}
	t.Run("checklist_13 the text names the two and the usual reason", func(t *testing.T) {
		who, err := w.try(asserted(t, sign(t, key, "", w.claims("keyed"))), oauth.FormatBasic("keyed", ""))
		wantRefused(t, who, err, oauth.CodeInvalidRequest, "an Authorization header and client_assertion in the body. Send one")
		wantRefused(t, who, err, oauth.CodeInvalidRequest, "AuthStyleInParams")
	})
	t.Run("checklist_25 none of them spent the jti", func(t *testing.T) {
		if len(w.far.spent) != 0 {
			t.Errorf("spent: %v", w.far.spent)
		}
	})
}

func TestPublicClients(t *testing.T) {
	w := newWorld(t)
	w.far.clients["cli"] = &client.Client{ID: "cli", Status: client.Active, AuthMethod: oauth.AuthNone}
	w.secretClient("billing", oauth.AuthClientSecretBasic)
	t.Run("a public client is known by its id", func(t *testing.T) {
		who, err := w.try(form(t, "client_id", "cli"))
		wantClient(t, who, err, "cli", oauth.AuthNone)
	})
	t.Run("checklist_18 a confidential client cannot leave its proof out", func(t *testing.T) {
		for _, id := range []string{"billing", "nobody"} {
			who, err := w.try(form(t, "client_id", id))
			wantRefused(t, who, err, invalidClient, "no client authentication")
		}
	})
	t.Run("a disabled public client is refused", func(t *testing.T) {
		w.far.clients["cli"].Status = client.Disabled
		who, err := w.try(form(t, "client_id", "cli"))
		wantRefused(t, who, err, invalidClient, "disabled")
	})
}

func TestChecklist17(t *testing.T) {
	guess := func(w *world, source, id string) error {
		_, err := w.tryFrom(source, form(t), oauth.FormatBasic(id, "guess"))
		return err
	}
	limited := func(err error) bool {
		var l *Limited
		return errors.As(err, &l)
	}
	t.Run("checklist_17 guessing one client is slowed, and told for how long", func(t *testing.T) {
		w := newWorld(t)
		s := w.secretClient("billing", oauth.AuthClientSecretBasic)
		tries := 0
		for ; !limited(guess(w, home, "billing")); tries++ {
			if tries > 100 {
				t.Fatal("never")
			}
		}
		if tries != 10 {
			t.Errorf("%d guesses, want 10", tries)
		}
		who, err := w.try(form(t), oauth.FormatBasic("billing", s))
		e := wantRefused(t, who, err, oauth.CodeTemporarilyUnavailable, "too many failed authentications from this address: try again in 6 s")
		var l *Limited
		if !errors.As(err, &l) || l.After != 6*time.Second || e.Status != 429 {
			t.Errorf("after %v, status %d", l.After, e.Status)
		}
		if w.failed[len(w.failed)-1] != CauseLimited {
			t.Errorf("counted as %v", w.failed)
		}
		w.at = w.at.Add(6 * time.Second)
		who, err = w.try(form(t), oauth.FormatBasic("billing", s))
		wantClient(t, who, err, "billing", oauth.AuthClientSecretBasic)
	})
	t.Run("checklist_17 strangers lock nobody out", func(t *testing.T) {
		w := newWorld(t)
		s := w.secretClient("billing", oauth.AuthClientSecretBasic)
		for range 200 {
			_ = guess(w, "203.0.113.66", "billing")
		}
		who, err := w.try(form(t), oauth.FormatBasic("billing", s))
		wantClient(t, who, err, "billing", oauth.AuthClientSecretBasic)
	})
	t.Run("checklist_17 one source that tries many clients is slowed", func(t *testing.T) {
		w := newWorld(t)
		tries := 0
		for ; !limited(guess(w, home, "client-"+strconv.Itoa(tries))); tries++ {
			if tries > 1000 {
				t.Fatal("never")
			}
		}
		if tries != 100 {
			t.Errorf("%d guesses, want 100", tries)
		}
	})
	t.Run("checklist_17 a /64 is one source", func(t *testing.T) {
		w := newWorld(t)
		tries := 0
		for ; !limited(guess(w, fmt.Sprintf("2001:db8:1:2::%x", tries+1), "billing")); tries++ {
			if tries > 1000 {
				t.Fatal("never")
			}
		}
		if limited(guess(w, "2001:db8:1:3::1", "billing")) {
			t.Error("the next /64 pays for it")
		}
	})
	t.Run("checklist_17 who proves himself is never slowed", func(t *testing.T) {
		w := newWorld(t)
		s := w.secretClient("billing", oauth.AuthClientSecretBasic)
		_, key := w.keyClient(t, "keyed", jose.EdDSA)
		for range 300 {
			who, err := w.try(form(t), oauth.FormatBasic("billing", s))
			wantClient(t, who, err, "billing", oauth.AuthClientSecretBasic)
		}
		for range 300 { // mistakes of a client that has proved itself are no guesses
			c := w.claims("keyed")
			c["aud"] = "https://else.example.com"
			who, err := w.try(asserted(t, sign(t, key, "", c)))
			wantRefused(t, who, err, invalidClient, "aud of the client assertion")
		}
	})
	t.Run("checklist_17 wrong signatures count", func(t *testing.T) {
		w := newWorld(t)
		w.keyClient(t, "keyed", jose.EdDSA)
		stranger := newKey(t, jose.EdDSA)
		for range 10 {
			if _, err := w.try(asserted(t, sign(t, stranger, "", w.claims("keyed")))); limited(err) {
				t.Fatal("limited too early")
			}
		}
		if _, err := w.try(asserted(t, sign(t, stranger, "", w.claims("keyed")))); !limited(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStorageThatFailsIsNotTheCallersFault(t *testing.T) {
	w := newWorld(t)
	s := w.secretClient("billing", oauth.AuthClientSecretBasic)
	w.far.broken = errors.New("disk gone")
	who, err := w.try(form(t), oauth.FormatBasic("billing", s))
	e := wantRefused(t, who, err, oauth.CodeTemporarilyUnavailable, "try again")
	if e.Status != 503 || !errors.Is(err, w.far.broken) || strings.Contains(e.Description, "disk") {
		t.Errorf("status %d, %v", e.Status, err)
	}
}

func TestOffered(t *testing.T) {
	for name, tt := range map[string]struct {
		r    Request
		want bool
	}{
		"nothing":       {Request{Form: form(t)}, false},
		"client_id":     {Request{Form: form(t, "client_id", "a")}, false},
		"client_secret": {Request{Form: form(t, "client_secret", "a")}, true},
		"assertion":     {Request{Form: form(t, "client_assertion", "a")}, true},
		"header":        {Request{Form: form(t), Authorization: []string{"x"}}, true},
	} {
		if got := Offered(tt.r); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
