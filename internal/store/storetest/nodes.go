package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// RunNodes checks the promises to callers that arrive together, at two stores
// that are open on the same data.
func RunNodes(t *testing.T, open Open) {
	b := setUp(t, open)
	other := open(t, b.place, b.clock.now)
	t.Cleanup(func() { b.ok(other.Close()) })
	code, device, pushed := aCode("gr_code", "code"), aDevice("a"), session.Pushed{Hash: secret.HashOf("pushed"), ClientID: "cl_1", Body: []byte("x"), Expires: noon.Add(time.Hour)}
	b.ok(b.IssueCode(b.ctx(), code, secret.Hash{}, did("grant.created")))
	refresh := b.start(aGrant("gr_refresh"))
	b.haveDevice(device)
	b.ok(b.AnswerDevice(b.ctx(), device.Code, allowed(noon), did("x")))
	b.ok(b.PushRequest(b.ctx(), pushed, session.PushedLimits{PerClient: 9, All: 9}))
	waits := b.waiting("rq_1", "browser")
	b.ok(b.AnswerRequest(b.ctx(), waits, session.Answer{Error: "access_denied", At: noon}, nil, did("request.answered")))
	b.haveAPIKeys("ak_1")
	b.havePeople(plainAccount("pe_1"))
	var numbers atomic.Int64

	for _, race := range []struct {
		name string
		once func(s Store) error
		lost error // what the others are told
	}{
		{"the jti of an assertion", func(s Store) error {
			return reused(s.SpendAssertion(b.ctx(), "cl_1", "jti", noon.Add(time.Hour)))
		}, errReused},
		{"the jti of a proof", func(s Store) error { return reused(s.SpendProof(b.ctx(), "jkt", "jti", noon.Add(time.Hour))) }, errReused},
		{"an authorization code", func(s Store) error { _, err := s.RedeemCode(b.ctx(), code.Hash, noon); return err }, token.ErrSpent},
		{"a refresh token", func(s Store) error {
			is, err := s.UseFamily(b.ctx(), refresh, next(refresh), noon, 10*time.Second)
			return errors.Join(err, map[bool]error{true: errReused}[is != token.Newest])
		}, errReused},
		{"a device code", func(s Store) error { _, err := s.RedeemDevice(b.ctx(), device.Code, noon); return err }, session.ErrNoDevice},
		{"a pushed request", func(s Store) error {
			n := numbers.Add(1)
			return s.IssueCode(b.ctx(), aCode(fmt.Sprint("gr_", n), fmt.Sprint("code ", n)), pushed.Hash, did("x"))
		}, session.ErrNotPushed},
		{"the answer to a request", func(s Store) error { _, err := s.TakeRequest(b.ctx(), waits, noon); return err }, session.ErrGone},
		{"the id of a client", func(s Store) error { return s.CreateClient(b.ctx(), plainClient("cl_new"), did("x")) }, client.ErrExists},
		{"a signing key", func(s Store) error {
			return s.AddSigningKey(b.ctx(), keyring.Key{ID: fmt.Sprint("k", numbers.Add(1)), Alg: "ES256", Sealed: []byte("x"), SignFrom: noon}, did("x"))
		}, keyring.ErrExists},
		{"a name to sign in with", func(s Store) error {
			a := plainAccount(fmt.Sprint("pe_", numbers.Add(1)))
			a.Name = "ana"
			return s.CreateAccount(b.ctx(), a, did("x"))
		}, directory.ErrExists},
	} {
		t.Run(race.name, func(t *testing.T) {
			var won atomic.Int32
			together(64, func(i int) {
				switch err := race.once([]Store{b.Store, other}[i%2]); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, race.lost):
					t.Error(err)
				}
			})
			if won.Load() != 1 {
				t.Errorf("%d won", won.Load())
			}
		})
	}
	t.Run("changes are each made on the result of the one before", func(t *testing.T) {
		before := len(b.entries())
		together(20, func(i int) {
			s := []Store{b.Store, other}[i%2]
			if _, err := s.UpdateClient(b.ctx(), "cl_new", func(c *client.Client) error { c.Name += "x"; return nil }, did("x")); err != nil {
				t.Error(err)
			}
		})
		c, err := other.Client(b.ctx(), "cl_new")
		b.ok(err)
		if len(c.Name) != 20 || len(b.entries()) != before+20 {
			t.Errorf("%d changes and %d audit entries of 20", len(c.Name), len(b.entries())-before)
		}
	})
	t.Run("one chain holds what both have written", func(t *testing.T) {
		b.verify()
		if n, _, err := other.VerifyAudit(b.ctx()); err != nil || n != int64(len(b.entries())) {
			t.Errorf("%d entries, %v", n, err)
		}
	})
}

var errReused = errors.New("was used before")

func reused(fresh bool, err error) error {
	if err == nil && !fresh {
		err = errReused
	}
	return err
}
