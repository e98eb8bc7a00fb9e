package authserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// floor is the least that a token endpoint can do on net/http and the standard
// library: parse the form, prove the client, sign a JWT with ES256.
type floor struct {
	secret [32]byte
	signer *ecdsa.PrivateKey
	client *ecdsa.PublicKey
	spent  sync.Map
}

func newFloor(b *testing.B) *floor {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return &floor{signer: key}
}

func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "client_credentials" || !f.proved(r) {
		http.Error(w, "refused", http.StatusUnauthorized)
		return
	}
	now := time.Now().Unix()
	payload, _ := json.Marshal(map[string]any{"iss": issuerURL, "sub": "billing", "client_id": "billing", "aud": api, "iat": now, "exp": now + 600, "jti": rand.Text(), "scope": r.PostForm.Get("scope")})
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"1"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(input))
	rr, ss, err := ecdsa.Sign(rand.Reader, f.signer, digest[:])
	if err != nil {
		http.Error(w, "failed", http.StatusInternalServerError)
		return
	}
	var signature [64]byte
	rr.FillBytes(signature[:32])
	ss.FillBytes(signature[32:])
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": input + "." + base64.RawURLEncoding.EncodeToString(signature[:]), "token_type": "Bearer", "expires_in": 600})
}

func (f *floor) proved(r *http.Request) bool {
	if _, password, ok := r.BasicAuth(); ok {
		sum := sha256.Sum256([]byte(password))
		return subtle.ConstantTimeCompare(sum[:], f.secret[:]) == 1
	}
	parts := strings.Split(r.PostForm.Get("client_assertion"), ".")
	if len(parts) != 3 {
		return false
	}
	payload, err1 := base64.RawURLEncoding.DecodeString(parts[1])
	signature, err2 := base64.RawURLEncoding.DecodeString(parts[2])
	var c struct {
		Iss, Sub, Aud, Jti string
		Exp                int64
	}
	if err1 != nil || err2 != nil || len(signature) != 64 || json.Unmarshal(payload, &c) != nil || c.Aud != issuerURL {
		return false
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
	if err != nil || !ecdsa.VerifyASN1(f.client, digest[:], der) {
		return false
	}
	_, used := f.spent.LoadOrStore(c.Jti, c.Exp)
	return !used
}

// discard is a ResponseWriter that keeps the status.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// measure sends requests to a handler and reports the CPU time of each, the
// store's writer included: what waits for the disk costs none.
func measure(b *testing.B, h http.Handler, parallel int, next func() *http.Request) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(parallel)
	var refused atomic.Int64
	before := cpu(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := &discard{header: http.Header{}, status: 200}
			h.ServeHTTP(w, next())
			if w.status != 200 {
				refused.Add(1)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
	if refused.Load() > 0 {
		b.Errorf("%d of %d requests were refused", refused.Load(), b.N)
	}
}

func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func request(header http.Header, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// again makes the same request over and over without making its parts anew.
func again(header http.Header, form url.Values) func() *http.Request {
	body := form.Encode()
	first := request(header, form)
	return func() *http.Request {
		r := new(http.Request)
		*r = *first
		r.Body = readCloser{strings.NewReader(body)}
		return r
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

var asked = values("grant_type", oauth.GrantClientCredentials, "scope", "read:orders")

func BenchmarkTokenSecret(b *testing.B) {
	w := newWorld(b)
	_, header := w.withSecret(billing())
	measure(b, w.handler, 1, again(header, asked))
}

func BenchmarkTokenSecretFloor(b *testing.B) {
	w := newWorld(b)
	_, header := w.withSecret(billing())
	f := newFloor(b)
	_, password, _ := oauth.ParseBasic(header.Get("Authorization"))
	f.secret = sha256.Sum256([]byte(password))
	measure(b, f, 1, again(header, asked))
}

// prepared signs n assertions before the clock starts.
func (w *world) prepared(b *testing.B, id string, key *jose.SigningKey) func() *http.Request {
	b.Helper()
	requests := make([]*http.Request, b.N)
	for i := range requests {
		requests[i] = request(nil, merged(w.assertion(id, key), asked))
	}
	var i atomic.Int64
	return func() *http.Request { return requests[i.Add(1)-1] }
}

// inFlight is how many requests wait for the disk together.
const inFlight = 32

func BenchmarkTokenJWT(b *testing.B) {
	w := newWorld(b)
	c, key := w.withKey(billing(), jose.ES256)
	measure(b, w.handler, inFlight, w.prepared(b, c.ID, key))
}

func BenchmarkTokenJWTFloor(b *testing.B) {
	w := newWorld(b)
	c, key := w.withKey(billing(), jose.ES256)
	f := newFloor(b)
	f.client = key.Public().Key.(*ecdsa.PublicKey)
	measure(b, f, inFlight, w.prepared(b, c.ID, key))
}
