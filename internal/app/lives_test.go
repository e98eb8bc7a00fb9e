package app

import (
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/oauth"
)

// process is a running offkey of a configuration file that can be rewritten,
// with a clock that can be moved.
type process struct {
	*App
	testing.TB
	file  string
	clock atomic.Pointer[time.Time]
}

// runProcess starts one with the settings of a file; those of the issuer, the
// storage and the API are added to them.
func runProcess(t testing.TB, settings string) *process {
	t.Helper()
	p := &process{TB: t, file: filepath.Join(t.TempDir(), "offkey.yaml")}
	now := time.Now()
	p.clock.Store(&now)
	p.write(settings)
	read := func() (*config.Loaded, error) { return config.Load(p.file, nil) }
	cfg, err := read()
	if err != nil {
		t.Fatal(err)
	}
	l := &Listeners{}
	for _, into := range []*net.Listener{&l.Gateway, &l.Issuer, &l.Admin, &l.Ops} {
		if *into, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	if p.App, err = Start(t.Context(), cfg, l, Options{Read: read, Now: func() time.Time { return *p.clock.Load() }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return p
}

// write replaces the file.
func (p *process) write(settings string) {
	p.Helper()
	common := "issuer: http://127.0.0.1:1\ngateway: {resource: \"http://127.0.0.1:2\", upstreams: {api: {url: \"http://127.0.0.1:3\"}}}\nstorage: {dsn: \"sqlite://data/offkey.db\"}\n"
	if err := os.WriteFile(p.file, []byte(common+settings), 0o600); err != nil {
		p.Fatal(err)
	}
}

func (p *process) pass(d time.Duration) {
	now := p.Now().Add(d)
	p.clock.Store(&now)
}

// makeClient makes a client as an operator does.
func (p *process) makeClient(id string) {
	p.Helper()
	c := &client.Client{
		ID: id, Name: id, Status: client.Active, AuthMethod: oauth.AuthClientSecretBasic, Audience: client.Strict,
		Grants: []string{oauth.GrantClientCredentials}, Source: client.SourceAPI, Created: p.Now(),
	}
	if err := p.db.CreateClient(p.Context(), c, audit.Event{Actor: "os:0", Action: "client.created", Object: id}); err != nil {
		p.Fatal(err)
	}
}

func (p *process) disable(id string) {
	p.Helper()
	if _, err := p.db.UpdateClient(p.Context(), id, func(c *client.Client) error {
		c.Status = client.Disabled
		return nil
	}, audit.Event{Actor: "os:0", Action: "client.disabled", Object: id}); err != nil {
		p.Fatal(err)
	}
}

func TestARevocationOutlivesEveryToken(t *testing.T) {
	// revokedFor is how long the revocation of a client that is disabled now is
	// kept.
	revokedFor := func(t *testing.T, p *process, id string) time.Duration {
		t.Helper()
		p.makeClient(id)
		p.disable(id)
		rows, err := p.db.Revocations(t.Context(), p.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.ID == id {
				return r.Expires.Sub(p.Now())
			}
		}
		t.Fatal("not revoked")
		return 0
	}
	t.Run("that an apikey was exchanged for, where others live shorter", func(t *testing.T) {
		p := runProcess(t, "tokens: {access: {ttl: 5m}}\n")
		if kept := revokedFor(t, p, "billing"); kept < 15*time.Minute {
			t.Errorf("kept for %v, exchanged tokens live for 15m", kept)
		}
	})
	t.Run("of a life that a reload made longer", func(t *testing.T) {
		p := runProcess(t, "tokens: {access: {ttl: 10m}}\n")
		p.write("tokens: {access: {ttl: 12h}}\n")
		if err := p.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kept := revokedFor(t, p, "billing"); kept < 12*time.Hour {
			t.Errorf("kept for %v, tokens live for 12h", kept)
		}
	})
	t.Run("of a life that was longer before the start", func(t *testing.T) {
		p := runProcess(t, "tokens: {access: {ttl: 10m}}\n")
		if kept := revokedFor(t, p, "billing"); kept < 24*time.Hour {
			t.Errorf("kept for %v, tokens issued before the start may live for 24h", kept)
		}
	})
}
