package federation

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

func TestTheKeysOfAnIssuerAreFoundByItsOwnMetadata(t *testing.T) {
	first, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := jose.GenerateSigningKey(jose.ES256)
	var set atomic.Pointer[jose.KeySet]
	set.Store(&jose.KeySet{Keys: []jose.PublicKey{first.Public()}})
	var named atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tenant/.well-known/openid-configuration":
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"http://%s/keys"}`, *named.Load(), r.Host)
		case "/keys":
			_ = json.NewEncoder(w).Encode(set.Load())
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	f, err := NewFetcher(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	var at atomic.Int64
	at.Store(time.Now().UnixNano())
	now := func() time.Time { return time.Unix(0, at.Load()) }
	issuer := server.URL + "/tenant"
	named.Store(&issuer)
	find := NewIssuerKeys(f, now).Of(issuer, "")
	has := func(kid string) bool {
		found, err := find(t.Context(), kid, jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		return len(found) == 1
	}
	if !has(first.ID()) || has("made-up") {
		t.Error("its key is not found, or one that it has not is")
	}
	set.Store(&jose.KeySet{Keys: []jose.PublicKey{second.Public()}})
	at.Add(int64(time.Minute))
	if !has(second.ID()) {
		t.Error("a new key is not found")
	}
	other := "https://other.example"
	named.Store(&other)
	if _, err := NewIssuerKeys(f, now).Of(issuer, "")(t.Context(), first.ID(), jose.ES256); err == nil {
		t.Error("metadata that names another issuer is believed")
	}
	if found, err := NewIssuerKeys(f, now).Of(issuer, server.URL+"/keys")(t.Context(), second.ID(), jose.ES256); err != nil || len(found) != 1 {
		t.Errorf("at an address that is given: %v, %v", found, err)
	}
}
