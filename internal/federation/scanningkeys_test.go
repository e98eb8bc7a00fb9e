package federation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// published is a document with a key of each name.
func published(t *testing.T, curve elliptic.Curve, ids ...string) []byte {
	t.Helper()
	type one struct {
		ID  string `json:"key_identifier"`
		Key string `json:"key"`
	}
	doc := struct {
		Keys []one `json:"public_keys"`
	}{}
	for _, id := range ids {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		doc.Keys = append(doc.Keys, one{id, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))})
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestScanningKeysAreFetchedOnceAndAnewForANewName(t *testing.T) {
	var body atomic.Pointer[[]byte]
	var fetched atomic.Int32
	first, second := published(t, elliptic.P256(), "key-1"), published(t, elliptic.P256(), "key-1", "key-2")
	body.Store(&first)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = w.Write(*body.Load())
	}))
	defer server.Close()
	f, err := NewFetcher(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	keys := NewScanningKeys(f, server.URL, func() time.Time { return now })
	for range 3 {
		if _, err := keys.Key(t.Context(), "key-1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	for _, id := range []string{"", "key-2", "made up", "made up too"} {
		if _, err := keys.Key(t.Context(), id); !errors.Is(err, ErrNoScanningKey) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if n := fetched.Load(); n != 2 {
		t.Errorf("strangers' names had it fetched %d times", n)
	}
	body.Store(&second)
	now = now.Add(time.Minute)
	if _, err := keys.Key(t.Context(), "key-2"); err != nil {
		t.Errorf("after a rotation: %v", err)
	}
}

func TestScanningKeysOfAnotherKindAreRefused(t *testing.T) {
	for name, raw := range map[string][]byte{
		"another curve": published(t, elliptic.P384(), "key-1"),
		"none":          []byte(`{"public_keys":[]}`),
		"no PEM":        []byte(`{"public_keys":[{"key_identifier":"a","key":"x"}]}`),
		"no JSON":       []byte(`<html>`),
	} {
		if keys, err := parseScanningKeys(raw); err == nil {
			t.Errorf("%s: %v", name, keys)
		}
	}
}
