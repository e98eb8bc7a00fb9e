package storetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// aGrant is a grant with something in every field.
func aGrant(id string) token.Grant {
	return token.Grant{
		ID: id, ClientID: "cl_1", Scope: oauth.Scope{"openid", "read:orders"}, Resources: []string{"https://api.example.com"}, Nonce: "n-0S6_WzA2Mj",
		Login:  token.Login{PersonID: "pe_1", Session: "se_1", AuthTime: kept(noon).Truncate(time.Second), ACR: session.ACRMFA, AMR: []string{"pwd", "otp"}},
		Claims: token.RequestedClaims{IDToken: []string{"email"}, Userinfo: []string{"name"}}, Created: kept(noon),
	}
}

func aCode(grantID, text string) token.Code {
	return token.Code{
		Hash: secret.HashOf(text), Grant: aGrant(grantID), RedirectURI: "https://client.example/cb?a=b", Challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
		JKT: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", Expires: kept(noon).Add(time.Minute),
	}
}

func aFamily(g token.Grant, t token.RefreshToken) token.Family {
	return token.Family{
		Grant: g, Handle: t.Handle, Current: t.Secret, Confirmation: token.Confirmation{JKT: "thumbprint"},
		LastUsed: kept(noon), Idle: 24 * time.Hour, Ends: kept(noon).Add(30 * 24 * time.Hour),
	}
}

// start starts a family and returns its first token.
func (b *trial) start(g token.Grant) token.RefreshToken {
	b.t.Helper()
	_, t := token.NewRefreshToken()
	b.ok(b.StartFamily(b.ctx(), aFamily(g, t), did("grant.refreshable")))
	return t
}

func next(t token.RefreshToken) token.RefreshToken {
	_, n := t.Next([]byte("a key of the test"))
	return n
}

func testCodes(t *testing.T, open Open) {
	t.Run("a code is redeemed with all that it was issued with", func(t *testing.T) {
		b := setUp(t, open)
		issued := aCode("gr_1", "code")
		b.ok(b.IssueCode(b.ctx(), issued, secret.Hash{}, did("grant.created")))
		c, err := b.RedeemCode(b.ctx(), issued.Hash, noon)
		b.ok(err)
		b.same("code", []any{c, c.Hash, c.Expires}, []any{issued, issued.Hash, issued.Expires})
		g, err := b.Grant(b.ctx(), "gr_1")
		b.ok(err)
		b.same("grant", g, issued.Grant)
	})
	t.Run("what was allowed in a session that has ended since brings no code, even where it would outlive it", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeSession, ID: "se_1"}, did("session.ended")))
		c := aCode("gr_1", "code")
		c.Grant.Scope = oauth.Scope{"read:orders"}
		b.is(b.IssueCode(b.ctx(), c, secret.Hash{}, did("grant.created")), token.ErrRevoked)
	})
	t.Run("tokens that do not say whose they are fall with their grant", func(t *testing.T) {
		for name, r := range map[string]token.Revocation{
			"the person is revoked": {Kind: token.RevokePerson, ID: "pe_1", Before: kept(noon)}, "the consent is withdrawn": {Kind: token.RevokeConsent, ID: token.ConsentID("pe_1", "cl_1"), Before: kept(noon)},
			"the session ends": {Kind: token.RevokeSession, ID: "se_1"},
		} {
			b := setUp(t, open)
			pairwise, public := aGrant("gr_pairwise"), aGrant("gr_public")
			pairwise.Pairwise = true
			b.start(pairwise)
			b.start(public)
			b.ok(b.Revoke(b.ctx(), r, did("revoked")))
			list, err := b.Revocations(b.ctx(), noon)
			b.ok(err)
			var all token.Revocations
			all.Add(list...)
			if !all.Revoked(token.Claims{ClientID: "cl_1", GrantID: "gr_pairwise", IssuedAt: kept(noon)}) {
				t.Errorf("%s: a token that says only its grant is taken", name)
			}
			if all.Revoked(token.Claims{ClientID: "cl_1", GrantID: "gr_public", IssuedAt: kept(noon)}) {
				t.Errorf("%s: a revocation is kept that nobody needs", name)
			}
		}
	})
	t.Run("a code that never was is none", func(t *testing.T) {
		b := setUp(t, open)
		_, err := b.RedeemCode(b.ctx(), secret.HashOf("x"), noon)
		b.is(err, token.ErrNoCode)
	})
	t.Run("checklist_67 of 64 that bring a code together one gets it, and then its grant is revoked", func(t *testing.T) {
		b := setUp(t, open)
		for round := range 5 {
			code := aCode(fmt.Sprint("gr_", round), fmt.Sprint("code ", round))
			b.ok(b.IssueCode(b.ctx(), code, secret.Hash{}, did("grant.created")))
			var got, spent atomic.Int32
			together(64, func(int) {
				switch c, err := b.RedeemCode(b.ctx(), code.Hash, noon); {
				case err == nil:
					got.Add(1)
				case err == token.ErrSpent && c.Grant.ID == code.Grant.ID, err == token.ErrNoCode:
					spent.Add(1)
				default:
					t.Error(err)
				}
			})
			if got.Load() != 1 || spent.Load() != 63 {
				t.Fatalf("%d got it, %d were told that it is spent", got.Load(), spent.Load())
			}
		}
		b.same("revocations", b.revoked(), []string{"grant:gr_0", "grant:gr_1", "grant:gr_2", "grant:gr_3", "grant:gr_4"})
	})
	t.Run("checklist_67 a code that comes again ends the refresh tokens that came of it", func(t *testing.T) {
		b := setUp(t, open)
		code := aCode("gr_1", "code")
		b.ok(b.IssueCode(b.ctx(), code, secret.Hash{}, did("grant.created")))
		c, err := b.RedeemCode(b.ctx(), code.Hash, noon)
		b.ok(err)
		refresh := b.start(c.Grant)
		b.reopen()
		_, err = b.RedeemCode(b.ctx(), code.Hash, noon)
		b.is(err, token.ErrSpent)
		_, err = b.Family(b.ctx(), refresh)
		b.is(err, token.ErrNoFamily)
		if last := b.entries(); last[len(last)-1].Action != "grant.revoked" || last[len(last)-1].Object != "gr_1" {
			t.Errorf("audited as %+v", last[len(last)-1])
		}
	})
	t.Run("no refresh token is started for a grant that was revoked before it could be", func(t *testing.T) {
		for name, r := range map[string]token.Revocation{
			"grant":   {Kind: token.RevokeGrant, ID: "gr_1"},
			"person":  {Kind: token.RevokePerson, ID: "pe_1", Before: noon},
			"client":  {Kind: token.RevokeClient, ID: "cl_1", Before: noon},
			"session": {Kind: token.RevokeSession, ID: "se_1"},
			"all":     {Kind: token.RevokeAll, ID: token.All, Before: noon},
		} {
			b := setUp(t, open)
			b.ok(b.Revoke(b.ctx(), r, did("x")))
			_, refresh := token.NewRefreshToken()
			b.is(b.StartFamily(b.ctx(), aFamily(aGrant("gr_1"), refresh), did("x")), token.ErrRevoked)
			b.is(b.IssueCode(b.ctx(), aCode("gr_1", "code"), secret.Hash{}, did("x")), token.ErrRevoked)
			b.is(b.KeepGrant(b.ctx(), aGrant("gr_1"), did("x")), token.ErrRevoked)
			if _, err := b.RedeemCode(b.ctx(), secret.HashOf("code"), noon); err != token.ErrNoCode {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("what is revoked does not touch what comes after it", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokePerson, ID: "pe_1", Before: noon}, did("x")))
		later := aGrant("gr_1")
		later.Created = noon.Add(time.Second)
		b.start(later)
	})
	t.Run("codes, families and grants are cleaned in time, and not before", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.IssueCode(b.ctx(), aCode("gr_1", "code"), secret.Hash{}, did("x")))
		refresh := b.start(aGrant("gr_2"))
		b.ok(b.PushRequest(b.ctx(), session.Pushed{Hash: secret.HashOf("p"), ClientID: "cl_1", Body: []byte("{}"), Expires: noon.Add(time.Minute)}, session.PushedLimits{PerClient: 1, All: 1}))
		n, err := b.Clean(b.ctx(), noon.Add(23*time.Hour), 0)
		b.ok(err)
		if n != 1 {
			t.Errorf("%d were cleaned, not the pushed request alone", n)
		}
		_, err = b.Family(b.ctx(), refresh)
		b.ok(err)
		if _, err = b.Clean(b.ctx(), noon.Add(60*24*time.Hour), 0); err != nil {
			t.Error(err)
		}
		_, err = b.Family(b.ctx(), refresh)
		b.is(err, token.ErrNoFamily)
		for _, id := range []string{"gr_1", "gr_2"} {
			_, err = b.Grant(b.ctx(), id)
			b.is(err, token.ErrRevoked)
		}
		_, err = b.RedeemCode(b.ctx(), secret.HashOf("code"), noon)
		b.is(err, token.ErrNoCode)
	})
}

func testFamilies(t *testing.T, open Open) {
	t.Run("a family is kept with all that it was started with", func(t *testing.T) {
		b := setUp(t, open)
		_, refresh := token.NewRefreshToken()
		f := aFamily(aGrant("gr_1"), refresh)
		b.ok(b.StartFamily(b.ctx(), f, did("x")))
		b.reopen()
		got, err := b.Family(b.ctx(), refresh)
		b.ok(err)
		b.same("family", got, f)
		b.same("its key", got.Confirmation, f.Confirmation)
	})
	t.Run("checklist_77 a token is rotated once, and one that comes again ends the family", func(t *testing.T) {
		b := setUp(t, open)
		first := b.start(aGrant("gr_1"))
		second := next(first)
		for _, step := range []struct {
			bring, then token.RefreshToken
			want        token.Standing
		}{
			{first, second, token.Newest}, {second, next(second), token.Newest}, {first, second, token.Reused},
			{next(second), next(next(second)), token.Unknown}, {first, second, token.Unknown},
		} {
			is, err := b.UseFamily(b.ctx(), step.bring, step.then, noon, 0)
			b.ok(err)
			if is != step.want {
				t.Errorf("it is %d, want %d", is, step.want)
			}
		}
		b.same("revocations", b.revoked(), []string{"grant:gr_1"})
	})
	t.Run("checklist_77 of 64 that bring a token together one has the newest", func(t *testing.T) {
		b := setUp(t, open)
		for round := range 5 {
			first := b.start(aGrant(fmt.Sprint("gr_", round)))
			var newest atomic.Int32
			together(64, func(int) {
				is, err := b.UseFamily(b.ctx(), first, next(first), noon, 0)
				if err != nil {
					t.Error(err)
				}
				if is == token.Newest {
					newest.Add(1)
				}
			})
			if newest.Load() != 1 {
				t.Fatalf("%d had the newest", newest.Load())
			}
		}
	})
	t.Run("checklist_80 within the grace the token before is only repeated", func(t *testing.T) {
		b := setUp(t, open)
		first := b.start(aGrant("gr_1"))
		for _, step := range []struct {
			after time.Duration
			want  token.Standing
		}{{0, token.Newest}, {time.Second, token.Repeated}, {9 * time.Second, token.Repeated}, {10 * time.Second, token.Reused}, {0, token.Unknown}} {
			is, err := b.UseFamily(b.ctx(), first, next(first), noon.Add(step.after), 10*time.Second)
			b.ok(err)
			if is != step.want {
				t.Errorf("after %v it is %d, want %d", step.after, is, step.want)
			}
		}
	})
	t.Run("checklist_80 within the grace 64 that come together have one successor", func(t *testing.T) {
		b := setUp(t, open)
		first := b.start(aGrant("gr_1"))
		together(64, func(int) {
			is, err := b.UseFamily(b.ctx(), first, next(first), noon, 10*time.Second)
			if err != nil || is != token.Newest && is != token.Repeated {
				t.Errorf("it is %d, error %v", is, err)
			}
		})
		f, err := b.Family(b.ctx(), first)
		b.ok(err)
		b.same("the newest", f.Current, next(first).Secret)
	})
	t.Run("a token that is not rotated stays good, and its use is noted", func(t *testing.T) {
		b := setUp(t, open)
		first := b.start(aGrant("gr_1"))
		for i := range 3 {
			at := noon.Add(time.Duration(i) * 20 * time.Hour) // each time within a day of the last
			is, err := b.UseFamily(b.ctx(), first, first, at, 0)
			b.ok(err)
			f, err := b.Family(b.ctx(), first)
			b.ok(err)
			if is != token.Newest || !f.LastUsed.Equal(kept(at)) {
				t.Errorf("it is %d, last used %v", is, f.LastUsed)
			}
		}
		is, err := b.UseFamily(b.ctx(), first, first, noon.Add(64*time.Hour), 0)
		b.ok(err)
		if is != token.Unknown {
			t.Errorf("unused for a day it is %d", is)
		}
	})
	t.Run("checklist_81 a revocation takes the refresh tokens that it is about, and no others", func(t *testing.T) {
		mine, another, offline := aGrant("gr_1"), aGrant("gr_2"), aGrant("gr_3")
		another.ClientID, another.PersonID, another.Session = "cl_2", "pe_2", "se_2"
		offline.Scope = oauth.Scope{"openid", "offline_access"}
		for name, tt := range map[string]struct {
			revoke  func(b *trial) error
			offline bool // is gone too
		}{
			"of the grant": {func(b *trial) error {
				return b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeGrant, ID: "gr_1"}, did("x"))
			}, false},
			"of the session": {func(b *trial) error {
				return b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeSession, ID: "se_1"}, did("x"))
			}, false},
			"of the person": {func(b *trial) error {
				return b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokePerson, ID: "pe_1", Before: noon}, did("x"))
			}, true},
			"of the client": {func(b *trial) error {
				return b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeClient, ID: "cl_1", Before: noon}, did("x"))
			}, true},
			"of consent": {func(b *trial) error { return b.RevokeGranted(b.ctx(), "pe_1", "cl_1", did("x")) }, true},
			"of the client by an operator": {func(b *trial) error {
				b.haveClients(plainClient("cl_1"))
				_, err := b.UpdateClient(b.ctx(), "cl_1", func(c *client.Client) error { c.Status = client.Disabled; return nil }, did("x"))
				return err
			}, true},
		} {
			t.Run("checklist_81 "+name, func(t *testing.T) {
				b := setUp(t, open)
				gone, stays, maybe := b.start(mine), b.start(another), b.start(offline)
				b.ok(b.IssueCode(b.ctx(), aCode("gr_1", "code"), secret.Hash{}, did("x")))
				b.ok(tt.revoke(b))
				_, err := b.Family(b.ctx(), gone)
				b.is(err, token.ErrNoFamily)
				_, err = b.RedeemCode(b.ctx(), secret.HashOf("code"), noon)
				b.is(err, token.ErrNoCode)
				_, err = b.Family(b.ctx(), stays)
				b.ok(err)
				_, err = b.Family(b.ctx(), maybe)
				if tt.offline {
					b.is(err, token.ErrNoFamily)
				} else {
					b.ok(err)
				}
			})
		}
		b := setUp(t, open)
		gone := b.start(another)
		b.ok(b.Revoke(b.ctx(), token.Revocation{Kind: token.RevokeAll, ID: token.All, Before: noon}, did("x")))
		_, err := b.Family(b.ctx(), gone)
		b.is(err, token.ErrNoFamily)
	})
}

func testPushed(t *testing.T, open Open) {
	many := session.PushedLimits{PerClient: 100, All: 100}
	aPushed := func(text string) session.Pushed {
		return session.Pushed{Hash: secret.HashOf(text), ClientID: "cl_1", Body: []byte("\x00body"), Expires: kept(noon).Add(time.Minute)}
	}
	t.Run("checklist_137 a pushed request can be read until a code is made of it", func(t *testing.T) {
		b := setUp(t, open)
		p := aPushed("p")
		b.ok(b.PushRequest(b.ctx(), p, many))
		for range 2 {
			got, err := b.PushedRequest(b.ctx(), p.Hash, noon)
			b.ok(err)
			b.same("request", got, p)
		}
		b.ok(b.IssueCode(b.ctx(), aCode("gr_1", "code"), p.Hash, did("x")))
		_, err := b.PushedRequest(b.ctx(), p.Hash, noon)
		b.is(err, session.ErrNotPushed)
		b.is(b.IssueCode(b.ctx(), aCode("gr_2", "code 2"), p.Hash, did("x")), session.ErrNotPushed)
		_, err = b.RedeemCode(b.ctx(), secret.HashOf("code 2"), noon)
		b.is(err, token.ErrNoCode)
	})
	t.Run("checklist_137 one that was refused brings no code", func(t *testing.T) {
		b := setUp(t, open)
		p := aPushed("p")
		b.ok(b.PushRequest(b.ctx(), p, many))
		for range 2 {
			b.ok(b.DropPushed(b.ctx(), p.Hash))
		}
		_, err := b.PushedRequest(b.ctx(), p.Hash, noon)
		b.is(err, session.ErrNotPushed)
		b.is(b.IssueCode(b.ctx(), aCode("gr_1", "code"), p.Hash, did("x")), session.ErrNotPushed)
	})
	t.Run("checklist_137 of 64 that finish with one request together one gets a code", func(t *testing.T) {
		b := setUp(t, open)
		p := aPushed("p")
		b.ok(b.PushRequest(b.ctx(), p, many))
		var got atomic.Int32
		together(64, func(i int) {
			err := b.IssueCode(b.ctx(), aCode(fmt.Sprint("gr_", i), fmt.Sprint("code ", i)), p.Hash, did("x"))
			if err == nil {
				got.Add(1)
			} else if err != session.ErrNotPushed {
				t.Error(err)
			}
		})
		if got.Load() != 1 {
			t.Errorf("%d got one", got.Load())
		}
	})
	t.Run("checklist_136 one that is too old is none, but whoever brought it in time may finish", func(t *testing.T) {
		b := setUp(t, open)
		p := aPushed("p")
		b.ok(b.PushRequest(b.ctx(), p, many))
		_, err := b.PushedRequest(b.ctx(), p.Hash, p.Expires)
		b.is(err, session.ErrNotPushed)
		b.ok(b.IssueCode(b.ctx(), aCode("gr_1", "code"), p.Hash, did("x")))
	})
	t.Run("no more wait than the limits say", func(t *testing.T) {
		b := setUp(t, open)
		limits := session.PushedLimits{PerClient: 3, All: 5}
		push := func(client, text string) error {
			p := aPushed(text)
			p.ClientID = client
			return b.PushRequest(b.ctx(), p, limits)
		}
		for i := range 3 {
			b.ok(push("cl_1", fmt.Sprint("a", i)))
		}
		b.is(push("cl_1", "a3"), session.ErrManyPushed)
		b.ok(push("cl_2", "b0"))
		b.ok(push("cl_2", "b1"))
		b.is(push("cl_3", "c0"), session.ErrManyPushed)
		b.clock.move(2 * time.Minute)
		late := aPushed("late")
		late.Expires = noon.Add(5 * time.Minute)
		b.ok(b.PushRequest(b.ctx(), late, limits))
	})
}
