package farside

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/offkey/offkey/internal/jose"
)

// Issuer is an issuer of workload tokens on loopback: it publishes metadata and
// keys, rotates them, and can be down. What its tokens say is for the test.
type Issuer struct {
	URL string

	mu     sync.Mutex
	key    *jose.SigningKey
	extra  []json.RawMessage
	use    string
	down   bool
	claims string // issuer in the metadata, where it lies
	hits   int
}

// NewIssuer starts one; it ends with the test.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{use: "sig"}
	i.Rotate(t, jose.ES256)
	server := httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

// Rotate signs with a new key from now on, and publishes no other.
func (i *Issuer) Rotate(t testing.TB, alg jose.Algorithm) {
	t.Helper()
	key, err := jose.GenerateSigningKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = key
}

// Down makes it answer 503, or no longer.
func (i *Issuer) Down(down bool) { i.with(func() { i.down = down }) }

// Publish sets the use of its key, and what is published beside it.
func (i *Issuer) Publish(use string, extra ...json.RawMessage) {
	i.with(func() { i.use, i.extra = use, extra })
}

// Lie makes its metadata name another issuer.
func (i *Issuer) Lie(issuer string) { i.with(func() { i.claims = issuer }) }

// Hits are the requests so far.
func (i *Issuer) Hits() (n int) {
	i.with(func() { n = i.hits })
	return n
}

// Key is what it signs with.
func (i *Issuer) Key() (key *jose.SigningKey) {
	i.with(func() { key = i.key })
	return key
}

func (i *Issuer) with(do func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	do()
}

// Sign makes a token of it.
func (i *Issuer) Sign(t testing.TB, typ string, claims map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Key().Sign(typ, raw)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *Issuer) serve(rw http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.hits++
	down, use, key, extra, issuer := i.down, i.use, i.key.Public(), i.extra, i.claims
	i.mu.Unlock()
	if issuer == "" {
		issuer = i.URL
	}
	switch {
	case down:
		rw.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/.well-known/openid-configuration":
		writeJSON(rw, http.StatusOK, map[string]string{"issuer": issuer, "jwks_uri": i.URL + "/keys"})
	case r.URL.Path == "/keys":
		writeJSON(rw, http.StatusOK, map[string]any{"keys": append([]json.RawMessage{published(key, use)}, extra...)})
	default:
		http.NotFound(rw, r)
	}
}

// published is a key as the issuer shows it, with a use of its own.
func published(key jose.PublicKey, use string) json.RawMessage {
	raw, _ := key.MarshalJSON()
	var members map[string]any
	_ = json.Unmarshal(raw, &members)
	delete(members, "use")
	if use != "" {
		members["use"] = use
	}
	raw, _ = json.Marshal(members)
	return raw
}
