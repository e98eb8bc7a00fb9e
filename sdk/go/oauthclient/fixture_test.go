package oauthclient_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/farside"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// caller is a registered client with its key in a 0600 file, and the world it
// is registered in.
func caller(t testing.TB, alg jose.Algorithm) (*farside.World, *oauthclient.Config) {
	t.Helper()
	world := farside.New(t)
	key, err := jose.GenerateSigningKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	world.Register("billing", farside.Client{Keys: jose.KeySet{Keys: []jose.PublicKey{key.Public()}}, Scopes: oauth.Scope{"read:orders", "create:orders"}})
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return world, &oauthclient.Config{
		Issuer: world.IssuerURL, ClientID: "billing", KeyFile: path, Algorithm: string(alg),
		Scopes: []string{"read:orders"}, Resource: world.APIURL,
	}
}

// explained is err as the package's own kind.
func explained(t testing.TB, err error) *oauthclient.Error {
	t.Helper()
	var e *oauthclient.Error
	if !errors.As(err, &e) {
		t.Fatalf("want an *oauthclient.Error, have %v", err)
	}
	return e
}

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
