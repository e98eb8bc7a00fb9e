package token

import (
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// TestWhatAGatewaySaysIsForOneCall is G-12 and G-28: an assertion of another
// gateway, for another API or call, or of another time holds nothing.
func TestWhatAGatewaySaysIsForOneCall(t *testing.T) {
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	stranger, _ := jose.GenerateSigningKey(jose.ES256)
	keys := func(kid string) []jose.PublicKey {
		return jose.KeySet{Keys: []jose.PublicKey{key.Public()}}.Candidates(kid, jose.ES256)
	}
	now := time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC)
	said := Call{Issuer: "https://api.example.com/_offkey", Audience: "http://10.0.3.7:8080", ClientID: "cl_1", Subject: "pe_1",
		Scope: []string{"a", "b"}, Credential: "token:x", Method: "GET", Target: "/v1/orders?x=1", IssuedAt: now}
	want := Call{Issuer: said.Issuer, Audience: said.Audience, Method: said.Method, Target: said.Target}
	check := func(said, want Call, key *jose.SigningKey, at time.Time) error {
		raw, err := said.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = CheckCall(raw, want, keys, at)
		return err
	}
	raw, err := said.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := CheckCall(raw, want, keys, now.Add(time.Minute))
	if err != nil || got.ClientID != "cl_1" || got.Subject != "pe_1" || got.Scope.String() != "a b" || got.Credential != "token:x" {
		t.Fatalf("got %+v, %v", got, err)
	}
	if strings.Contains(raw, "orders") {
		t.Error("the target itself is said")
	}
	for name, tt := range map[string]struct {
		change func(said, want *Call)
		key    *jose.SigningKey
		at     time.Duration
	}{
		"another gateway":     {func(s, _ *Call) { s.Issuer = "https://other" }, key, 0},
		"another API":         {func(s, _ *Call) { s.Audience = "https://api.example.com" }, key, 0},
		"another method":      {func(_, w *Call) { w.Method = "DELETE" }, key, 0},
		"another target":      {func(_, w *Call) { w.Target = "/v1/orders?x=2" }, key, 0},
		"nobody":              {func(s, _ *Call) { s.ClientID = "" }, key, 0},
		"a stranger's key":    {func(*Call, *Call) {}, stranger, 0},
		"a minute and a half": {func(*Call, *Call) {}, key, 90 * time.Second},
		"not yet":             {func(*Call, *Call) {}, key, -31 * time.Second},
	} {
		said, want := said, want
		tt.change(&said, &want)
		if check(said, want, tt.key, now.Add(tt.at)) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, typ := range []string{"at+jwt", "JWT", ""} {
		other, err := key.Sign(typ, []byte(`{"iss":"https://api.example.com/_offkey"}`))
		if err != nil {
			continue
		}
		if _, err := CheckCall(other, want, keys, now); err == nil || !strings.Contains(err.Error(), "typ") {
			t.Errorf("typ %q: %v", typ, err)
		}
	}
}

func FuzzCheckCall(f *testing.F) {
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		f.Fatal(err)
	}
	raw, _ := Call{Issuer: "i", Audience: "a", ClientID: "c", Subject: "s", Method: "GET", Target: "/", IssuedAt: time.Unix(1e9, 0)}.Sign(key)
	f.Add(raw)
	f.Add("a.b.c")
	stranger, _ := jose.GenerateSigningKey(jose.ES256)
	f.Fuzz(func(t *testing.T, s string) {
		keys := func(string) []jose.PublicKey { return []jose.PublicKey{stranger.Public()} }
		if _, err := CheckCall(s, Call{Issuer: "i", Audience: "a", Method: "GET", Target: "/"}, keys, time.Unix(1e9, 0)); err == nil {
			t.Fatal("accepted without a signature of the key")
		}
	})
}
