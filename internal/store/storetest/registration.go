package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// aToken is a registration token whose text is its id.
func aToken(id string, uses int) *client.RegistrationToken {
	return &client.RegistrationToken{
		ID: id, Name: "for " + id, Hash: secret.HashOf(id), Scopes: oauth.Scope{"read:orders"}, UsesLeft: uses, Created: noon, Expires: noon.Add(time.Hour),
	}
}

func testRegistration(t *testing.T, open Open) {
	register := func(b *trial, r client.Registration) error {
		return b.RegisterClient(b.ctx(), r, func(c *client.Client, token *client.RegistrationToken) error {
			if token != nil {
				c.Scopes = token.Scopes
			}
			return nil
		}, did("client.registered"))
	}
	tokens := func(b *trial) []*client.RegistrationToken {
		b.t.Helper()
		all, err := b.RegistrationTokens(b.ctx())
		b.ok(err)
		return all
	}
	t.Run("a token reads back as it was written, and ends", func(t *testing.T) {
		b := setUp(t, open)
		want := aToken("rt_1", 3)
		b.ok(b.CreateRegistrationToken(b.ctx(), want, did("x")))
		b.reopen()
		got := tokens(b)
		if len(got) != 1 || !got[0].Hash.Equal(want.Hash) {
			t.Fatalf("read %+v", got)
		}
		got[0].Created, got[0].Expires, want.Created, want.Expires = kept(got[0].Created), kept(got[0].Expires), kept(want.Created), kept(want.Expires)
		b.same("token", got[0], want)
		b.ok(b.DeleteRegistrationToken(b.ctx(), "rt_1", did("x")))
		b.is(b.DeleteRegistrationToken(b.ctx(), "rt_1", did("x")), client.ErrNoRegistrationToken)
		b.is(register(b, client.Registration{Client: plainClient("cl_1"), Token: secret.HashOf("rt_1")}), client.ErrNoRegistrationToken)
	})
	t.Run("a token without a use, an end or a hash is refused", func(t *testing.T) {
		b := setUp(t, open)
		for _, change := range []func(*client.RegistrationToken){
			func(t *client.RegistrationToken) { t.UsesLeft = 0 }, func(t *client.RegistrationToken) { t.Expires = time.Time{} }, func(t *client.RegistrationToken) { t.Hash = secret.Hash{} },
		} {
			bad := aToken("rt_1", 1)
			change(bad)
			if err := b.CreateRegistrationToken(b.ctx(), bad, did("x")); err == nil {
				t.Errorf("%+v was kept", bad)
			}
		}
	})
	t.Run("of 64 that come with the last two uses, two are registered", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.CreateRegistrationToken(b.ctx(), aToken("rt_1", 2), did("x")))
		errs := make([]error, 64)
		together(len(errs), func(i int) {
			errs[i] = register(b, client.Registration{Client: plainClient(client.NewID()), Token: secret.HashOf("rt_1")})
		})
		registered := 0
		for _, err := range errs {
			if err == nil {
				registered++
				continue
			}
			b.is(err, client.ErrNoRegistrationToken)
		}
		if got := tokens(b)[0]; registered != 2 || got.UsesLeft != 0 || got.Used != 2 {
			t.Errorf("%d were registered, %+v", registered, got)
		}
	})
	t.Run("a registration that fails spends nothing", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.CreateRegistrationToken(b.ctx(), aToken("rt_1", 1), did("x")))
		no := errors.New("no")
		b.is(b.RegisterClient(b.ctx(), client.Registration{Client: plainClient("cl_1"), Token: secret.HashOf("rt_1")},
			func(*client.Client, *client.RegistrationToken) error { return no }, did("x")), no)
		b.ok(register(b, client.Registration{Client: plainClient("cl_1"), Token: secret.HashOf("rt_1")}))
		got, err := b.Client(b.ctx(), "cl_1")
		b.ok(err)
		if !got.Scopes.Equal(oauth.Scope{"read:orders"}) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("an expired token registers nobody, and goes after a month", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.CreateRegistrationToken(b.ctx(), aToken("rt_1", 1), did("x")))
		b.clock.move(time.Hour)
		b.is(register(b, client.Registration{Client: plainClient("cl_1"), Token: secret.HashOf("rt_1")}), client.ErrNoRegistrationToken)
		_, err := b.Clean(b.ctx(), b.clock.now(), 100)
		b.ok(err)
		if len(tokens(b)) != 1 {
			t.Error("it is gone at once")
		}
		_, err = b.Clean(b.ctx(), b.clock.now().Add(31*24*time.Hour), 100)
		b.ok(err)
		if len(tokens(b)) != 0 {
			t.Error("it is still there")
		}
	})
	t.Run("of the clients of one statement there are so many, used or not, and unused ones go", func(t *testing.T) {
		// checklist_187 checklist_229
		b := setUp(t, open)
		until := b.clock.now().Add(time.Hour)
		vouched := func(id, by string) error {
			return register(b, client.Registration{Client: plainClient(id), UnusedUntil: until, Voucher: by, MostVouched: 2, MostUnused: 1})
		}
		b.ok(vouched("cl_1", "a"))
		b.ok(vouched("cl_2", "a"))
		b.is(vouched("cl_3", "a"), client.ErrTooManyVouched)
		b.ok(vouched("cl_3", "b"))
		b.ok(register(b, client.Registration{Client: plainClient("cl_4"), UnusedUntil: until, MostUnused: 1})) // is counted apart
		b.ok(b.TouchClients(b.ctx(), map[string]map[string]time.Time{"cl_2": {"": b.clock.now()}}))
		b.is(vouched("cl_5", "a"), client.ErrTooManyVouched)
		_, err := b.Clean(b.ctx(), until.Add(time.Second), 100)
		b.ok(err)
		b.ok(vouched("cl_5", "a"))
		b.is(vouched("cl_6", "a"), client.ErrTooManyVouched)
	})
	t.Run("clients that nobody uses are few, and go", func(t *testing.T) {
		// checklist_187 checklist_229
		b := setUp(t, open)
		until := b.clock.now().Add(time.Hour)
		for _, id := range []string{"cl_1", "cl_2", "cl_3"} {
			b.ok(register(b, client.Registration{Client: plainClient(id), UnusedUntil: until, MostUnused: 3}))
		}
		b.is(register(b, client.Registration{Client: plainClient("cl_4"), UnusedUntil: until, MostUnused: 3}), client.ErrTooManyUnused)
		b.ok(register(b, client.Registration{Client: plainClient("cl_5")})) // with somebody's word
		b.ok(b.TouchClients(b.ctx(), map[string]map[string]time.Time{"cl_2": {"": b.clock.now()}}))
		b.ok(register(b, client.Registration{Client: plainClient("cl_4"), UnusedUntil: until, MostUnused: 3}))
		deleted, err := b.Clean(b.ctx(), until.Add(time.Second), 2)
		b.ok(err)
		if deleted != 2 {
			t.Errorf("%d deleted at once", deleted)
		}
		_, err = b.Clean(b.ctx(), until.Add(time.Second), 100)
		b.ok(err)
		left, _, err := b.Clients(b.ctx(), client.Filter{})
		b.ok(err)
		if len(left) != 2 || left[0].ID != "cl_2" || left[1].ID != "cl_5" {
			t.Errorf("left: %v", shown(left...))
		}
		entries := b.entries()
		if last := entries[len(entries)-1]; last.Action != "client.never_used" {
			t.Errorf("the audit ends with %s", last.Action)
		}
	})
}
