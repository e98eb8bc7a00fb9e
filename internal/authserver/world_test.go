package authserver_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
)

const (
	issuerURL = "https://auth.example.com"
	api       = "https://api.example.com"
	otherAPI  = "https://other.example.com"
)

// world is an authorization server over a real store, with a clock.
type world struct {
	t           testing.TB
	at          atomic.Int64
	db          *store.DB
	clients     *client.Cache
	manager     *keyring.Manager
	revocations *token.Revocations
	verifier    *token.Verifier // as the gateway has it
	road        *road
	log         bytes.Buffer
	metrics     *authserver.Metrics
	making      sync.WaitGroup
	server      *authserver.Server
	handler     http.Handler
}

func (w *world) now() time.Time          { return time.Unix(0, w.at.Load()) }
func (w *world) advance(d time.Duration) { w.at.Add(int64(d)) }

// newWorld makes a server; change may alter its options.
func newWorld(t testing.TB, change ...func(*authserver.Options)) *world {
	t.Helper()
	w := &world{t: t, revocations: new(token.Revocations), road: newRoad(), metrics: authserver.NewMetrics()}
	w.at.Store(time.Date(2027, 1, 15, 10, 0, 0, 25e7, time.UTC).UnixNano())
	var err error
	w.db, err = store.Open(context.Background(), store.Options{DSN: filepath.Join(t.TempDir(), "offkey.db"), Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.making.Wait()
		_ = w.db.Close()
	})
	w.clients = client.NewCache(w.db.Client, 100)
	w.manager = keyring.New(w.db, newMaster(t), keyring.Options{}, w.now)
	w.db.Subscribe(w.changed)
	if err := w.manager.Tend(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.verifier = token.NewVerifier(token.VerifierOptions{
		Issuer: issuerURL, Audience: api, Ring: w.manager.Current, Revocations: w.revocations, Now: w.now, CacheSize: 100,
	})
	o := authserver.Options{
		Issuer: issuerURL, Resource: api, Resources: []string{otherAPI},
		Clients: w.clients, Spender: w.db, Ring: w.manager.Current,
		TokenIssuer: token.NewIssuer(issuerURL, w.manager.Current, w.now),
		Revocations: w.revocations, Revoker: w.db, Registrar: w.road, Exchanger: w.road, Devices: w.db,
		Now: w.now, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Metrics: w.metrics,
	}
	o.Grants, o.WantKey = w.db, w.wantKey
	for _, c := range change {
		c(&o)
	}
	o.Verifier = token.NewVerifier(token.VerifierOptions{
		Issuer: o.Issuer, AnyAudience: true, Ring: w.manager.Current, Revocations: w.revocations, Now: w.now,
	})
	if w.server, err = authserver.New(o); err != nil {
		t.Fatal(err)
	}
	w.handler = w.server.Handler()
	if o.Browser != nil {
		w.haveKeyForIDTokens()
	}
	return w
}

// worlds of one test run share a master key, and the RSA key sealed under it,
// which takes longest to make.
var (
	rsaKey    keyring.Key
	makingRSA sync.Mutex
)

// haveKeyForIDTokens makes what a job of the process does.
func (w *world) haveKeyForIDTokens() {
	w.t.Helper()
	makingRSA.Lock()
	defer makingRSA.Unlock()
	ctx := context.Background()
	if rsaKey.ID != "" {
		if err := w.db.AddSigningKey(ctx, rsaKey, system); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	if err := w.manager.TendWanted(ctx); err != nil {
		w.t.Fatal(err)
	}
	keys, err := w.db.SigningKeys(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, k := range keys {
		if k.Alg == jose.RS256 {
			rsaKey = k
		}
	}
}

// wantKey makes a key in the background, as the job does.
func (w *world) wantKey(alg jose.Algorithm) {
	w.manager.Want(alg)
	if w.handler == nil {
		return // RS256, which haveKeyForIDTokens sees to
	}
	w.making.Go(func() {
		if err := w.manager.TendWanted(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
}

var sharedMaster = sync.OnceValue(func() []byte {
	raw, err := secret.GenerateMasterKey()
	if err != nil {
		panic(err)
	}
	return raw
})

func newMaster(t testing.TB) *secret.MasterKey {
	t.Helper()
	m, err := secret.NewMasterKey(sharedMaster())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// changed keeps the views as a process does: before a change is acknowledged.
func (w *world) changed(changes []store.Change) {
	for _, c := range changes {
		switch c.Kind {
		case store.ChangeClient:
			w.clients.Forget(c.ID)
		case store.ChangeRevocation:
			rows, err := w.db.Revocations(context.Background(), w.now())
			if err != nil {
				w.t.Error(err)
			}
			w.revocations.Add(rows...)
		case store.ChangeSigningKey:
			if err := w.manager.Load(context.Background()); err != nil {
				w.t.Error(err)
			}
		}
	}
}

var system = audit.Event{Actor: "system", Action: "test"}

// add registers c, active and for client_credentials unless it says otherwise.
func (w *world) add(c client.Client) *client.Client {
	w.t.Helper()
	if c.Status == "" {
		c.Status = client.Active
	}
	if c.Grants == nil {
		c.Grants = []string{oauth.GrantClientCredentials}
	}
	if c.Audience == "" {
		c.Audience = client.Strict
	}
	c.Source, c.Created = client.SourceAPI, w.now()
	if err := w.db.CreateClient(context.Background(), &c, system); err != nil {
		w.t.Fatal(err)
	}
	return &c
}

// withSecret adds a client_secret_basic client and returns its header.
func (w *world) withSecret(c client.Client) (*client.Client, http.Header) {
	w.t.Helper()
	s := secret.Generate(secret.KindClientSecret).Reveal()
	c.AuthMethod = oauth.AuthClientSecretBasic
	c.Credentials = []client.Credential{{ID: client.NewCredentialID(), Kind: client.KindSecret, Hash: secret.HashOf(s), Created: w.now()}}
	added := w.add(c)
	return added, http.Header{"Authorization": {oauth.FormatBasic(c.ID, s)}}
}

// withKey adds a private_key_jwt client.
func (w *world) withKey(c client.Client, alg jose.Algorithm) (*client.Client, *jose.SigningKey) {
	w.t.Helper()
	key, err := jose.GenerateSigningKey(alg)
	if err != nil {
		w.t.Fatal(err)
	}
	public := key.Public()
	c.AuthMethod = oauth.AuthPrivateKeyJWT
	c.Credentials = []client.Credential{{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &public, Created: w.now()}}
	return w.add(c), key
}

// billing is the usual client.
func billing() client.Client {
	return client.Client{ID: "billing", Scopes: oauth.Scope{"read:orders", "create:orders"}}
}

var serial atomic.Int64

// assertion is good for one request.
func (w *world) assertion(id string, key *jose.SigningKey) url.Values {
	w.t.Helper()
	raw, err := json.Marshal(map[string]any{
		"iss": id, "sub": id, "aud": issuerURL, "jti": "j" + strconv.FormatInt(serial.Add(1), 10),
		"iat": w.now().Unix(), "exp": w.now().Unix() + 60,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	jwt, err := key.Sign(oauth.TypClientAuthentication, raw)
	if err != nil {
		w.t.Fatal(err)
	}
	return url.Values{"client_assertion_type": {oauth.AssertionTypeJWTBearer}, "client_assertion": {jwt}}
}

// answer is a response and its JSON.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	a := answer{t: w.t, status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	if strings.HasSuffix(a.header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(rec.Body.Bytes(), &a.json); err != nil {
			w.t.Errorf("%v in %s", err, a.body)
		}
	}
	return a
}

// post sends a form.
func (w *world) post(path string, header http.Header, form url.Values) answer {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return w.do(r)
}

func (w *world) get(path string) answer {
	w.t.Helper()
	return w.do(httptest.NewRequest(http.MethodGet, path, nil))
}

// token asks for a token by client_credentials.
func (w *world) token(header http.Header, more ...string) answer {
	w.t.Helper()
	return w.post("/token", header, values(append([]string{"grant_type", oauth.GrantClientCredentials}, more...)...))
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func merged(a, b url.Values) url.Values {
	out := url.Values{}
	for _, v := range []url.Values{a, b} {
		for name, list := range v {
			out[name] = append(out[name], list...)
		}
	}
	return out
}

// ok checks for a token and returns it.
func (a answer) ok() string {
	a.t.Helper()
	token, _ := a.json["access_token"].(string)
	if a.status != http.StatusOK || token == "" {
		a.t.Errorf("got %d %s, want a token", a.status, a.body)
	}
	return token
}

// refused checks for an error and returns its description.
func (a answer) refused(status int, code, part string) string {
	a.t.Helper()
	description, _ := a.json["error_description"].(string)
	if a.status != status || a.json["error"] != code || !strings.Contains(description, part) {
		a.t.Errorf("got %d %s, want %d %s with %q", a.status, a.body, status, code, part)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		a.t.Errorf("checklist_4: an error with Cache-Control %q", a.header.Get("Cache-Control"))
	}
	if description != oauth.CleanDescription(description) {
		a.t.Errorf("checklist_5: %q has characters that cannot be sent", description)
	}
	return description
}

// claims reads a token without verifying it.
func claims(t testing.TB, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %q", jwt)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// road judges apikeys as the flow that owns them does: by a list.
type road struct {
	mu      sync.Mutex
	apikeys map[string]*client.Client // apikey -> the client it stands for
	life    time.Duration
	scope   oauth.Scope // instead of what was asked for
	seen    []oauth.ClientMetadata
	source  netip.Addr
	broken  error
}

func newRoad() *road {
	return &road{apikeys: map[string]*client.Client{"old-key": {
		ID: "ak_1", Status: client.Active, APIKeyID: "ak_1", Scopes: oauth.Scope{"read:orders"},
	}}, life: time.Hour}
}

func (r *road) Exchange(_ context.Context, apikey string, requested oauth.Scope, _ string) (token.Authorization, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.apikeys[apikey]
	switch {
	case r.broken != nil:
		return token.Authorization{}, r.broken
	case c == nil:
		return token.Authorization{}, oauth.InvalidRequest("subject_token is not an apikey known here")
	case !c.Scopes.Covers(requested):
		return token.Authorization{}, oauth.InvalidScope("more than the apikey has used")
	}
	scope := requested
	if scope.IsZero() {
		scope = c.Scopes
	}
	if r.scope != nil {
		scope = r.scope
	}
	return token.Authorization{Client: c, Scope: scope, Life: r.life, APIKeyID: c.APIKeyID}, nil
}

func (r *road) Register(_ context.Context, apikey string, md oauth.ClientMetadata, access client.Credential, source netip.Addr) (*client.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return nil, r.broken
	}
	if r.apikeys[apikey] == nil {
		return nil, oauth.InvalidToken("this apikey does not open registration")
	}
	r.seen, r.source = append(r.seen, md), source
	c := &client.Client{
		ID: "cl_new", Name: md.ClientName, Status: client.Active, AuthMethod: md.TokenEndpointAuthMethod, Grants: md.GrantTypes,
		Scopes: oauth.Scope{"read:orders"}, JWKSURI: md.JWKSURI, Created: time.Unix(1_800_000_000, 0),
		SoftwareID: md.SoftwareID, SoftwareVersion: md.SoftwareVersion, SigningAlg: jose.Algorithm(md.TokenEndpointAuthSigningAlg),
	}
	if md.SoftwareID != "again" {
		c.Credentials = append(c.Credentials, access)
	}
	switch md.SoftwareID {
	case "second":
		c.Status, c.PendingReason = client.Pending, "it is the second client of this apikey"
	case "writer":
		c.PendingScopes = oauth.Scope{"create:orders"}
	}
	return c, nil
}

var errDisk = errors.New("disk gone: /secret/path")
