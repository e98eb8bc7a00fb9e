package storetest

import (
	"errors"
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

var bounds = session.RequestLimits{PerBrowser: 5, All: 100}

// waiting puts a request into a browser.
func (b *trial) waiting(id, browser string) session.Waiting {
	b.t.Helper()
	q := session.Request{
		ID: id, Browser: secret.HashOf(browser), Kind: session.ForClient, ClientID: "cl_1", Return: "/authorize?r=" + id,
		Payload: []byte("payload of " + id), Demand: session.Demand{Prompt: []string{"login"}, Since: kept(noon)},
		Ask: session.Ask{Scope: oauth.Scope{"openid", "read:orders"}}, Created: kept(noon), Expires: kept(noon.Add(30 * time.Minute)),
	}
	b.ok(b.PutRequest(b.ctx(), q, bounds))
	return session.Waiting{Request: id, Browser: q.Browser}
}

// signIn starts a session in a browser that had the cookie before.
func (b *trial) signIn(id, person, cookie, before string) session.Session {
	b.t.Helper()
	now := kept(b.clock.now())
	s, err := b.StartSession(b.ctx(), session.Session{
		ID: id, Cookie: secret.HashOf(cookie), PersonID: person, Created: now, LastSeen: now, Idle: time.Hour, Expires: now.Add(8 * time.Hour),
		UserAgent: "Browser 1", Source: "203.0.113.0/24",
		Login: session.Login{AuthTime: now.Truncate(time.Second), ACR: session.ACRMFA, AMR: []string{"pwd", "otp"}},
	}, secret.HashOf(before), b.waiting("rq_of_"+id+cookie, "browser"), did("session.started"))
	b.ok(err)
	return s
}

func testSessions(t *testing.T, open Open) {
	t.Run("a session is found by the hash of its cookie, after a restart too", func(t *testing.T) {
		b := setUp(t, open)
		made := b.signIn("se_1", "pe_1", "cookie", "")
		b.reopen()
		found, err := b.SessionByCookie(b.ctx(), secret.HashOf("cookie"))
		b.ok(err)
		b.same("session", found, made)
		for _, other := range []string{"", "cookie2"} {
			_, err = b.SessionByCookie(b.ctx(), secret.HashOf(other))
			b.is(err, session.ErrNoSession)
		}
		_, err = b.SessionByCookie(b.ctx(), secret.Hash{})
		b.is(err, session.ErrNoSession)
	})
	t.Run("signing in again keeps the id, and only the new cookie opens it", func(t *testing.T) {
		b := setUp(t, open)
		b.signIn("se_1", "pe_1", "cookie", "")
		b.clock.move(time.Minute)
		again := b.signIn("se_2", "pe_1", "cookie2", "cookie")
		if again.ID != "se_1" || !again.AuthTime.After(kept(noon)) {
			t.Errorf("got %+v", again)
		}
		_, err := b.SessionByCookie(b.ctx(), secret.HashOf("cookie"))
		b.is(err, session.ErrNoSession)
		if n := len(b.revoked()); n != 0 {
			t.Errorf("%d revocations", n)
		}
	})
	t.Run("somebody else who signs in ends the session that was there", func(t *testing.T) {
		b := setUp(t, open)
		b.signIn("se_1", "pe_1", "cookie", "")
		if s := b.signIn("se_2", "pe_2", "cookie2", "cookie"); s.ID != "se_2" {
			t.Errorf("got %+v", s)
		}
		b.sessionRevoked("se_1")
	})
	t.Run("an ended one does not go on", func(t *testing.T) {
		b := setUp(t, open)
		b.signIn("se_1", "pe_1", "cookie", "")
		b.clock.move(61 * time.Minute)
		now := kept(b.clock.now())
		w := session.Waiting{Request: "rq_later", Browser: secret.HashOf("browser")}
		b.ok(b.PutRequest(b.ctx(), session.Request{ID: w.Request, Browser: w.Browser, Kind: session.ForClient, Expires: now.Add(time.Hour)}, bounds))
		s, err := b.StartSession(b.ctx(), session.Session{ID: "se_2", Cookie: secret.HashOf("c2"), PersonID: "pe_1", LastSeen: now, Expires: now.Add(time.Hour)},
			secret.HashOf("cookie"), w, did("session.started"))
		b.ok(err)
		if s.ID != "se_2" {
			t.Errorf("got %+v", s)
		}
		b.sessionRevoked("se_1")
	})
	t.Run("none starts for a request that waits no more, or elsewhere", func(t *testing.T) {
		b := setUp(t, open)
		w := b.waiting("rq_1", "browser")
		w.Browser = secret.HashOf("another")
		_, err := b.StartSession(b.ctx(), session.Session{ID: "se_1", Cookie: secret.HashOf("c"), PersonID: "pe_1", LastSeen: noon, Expires: noon.Add(time.Hour)},
			secret.Hash{}, w, did("session.started"))
		b.is(err, session.ErrGone)
		_, err = b.SessionByCookie(b.ctx(), secret.HashOf("c"))
		b.is(err, session.ErrNoSession)
		if n := len(b.entries()); n != 0 {
			t.Errorf("%d audit entries", n)
		}
	})
	t.Run("the request notes who signed in", func(t *testing.T) {
		b := setUp(t, open)
		s := b.signIn("se_1", "pe_1", "cookie", "")
		q, err := b.Request(b.ctx(), session.Waiting{Request: "rq_of_se_1cookie", Browser: secret.HashOf("browser")}, noon)
		b.ok(err)
		b.same("progress", q.Progress, session.Progress{SessionID: s.ID})
	})
	t.Run("use moves its end forward, never back and not beyond its life", func(t *testing.T) {
		b := setUp(t, open)
		b.signIn("se_1", "pe_1", "cookie", "")
		for range 7 {
			b.clock.move(59 * time.Minute)
			b.ok(b.TouchSession(b.ctx(), "se_1", b.clock.now()))
		}
		b.ok(b.TouchSession(b.ctx(), "se_1", noon))
		list, err := b.SessionsOf(b.ctx(), "pe_1", b.clock.now())
		b.ok(err)
		if len(list) != 1 || !list[0].LastSeen.Equal(kept(b.clock.now())) {
			t.Errorf("got %+v", list)
		}
		for range 2 {
			b.clock.move(59 * time.Minute)
			b.ok(b.TouchSession(b.ctx(), "se_1", b.clock.now()))
		}
		list, err = b.SessionsOf(b.ctx(), "pe_1", b.clock.now())
		b.ok(err)
		if len(list) != 0 {
			t.Errorf("after its life there is %+v", list)
		}
		b.is(b.TouchSession(b.ctx(), "se_none", noon), session.ErrNoSession)
	})
	t.Run("ending one revokes what was issued in it, and only its person ends it", func(t *testing.T) {
		b := setUp(t, open)
		b.signIn("se_1", "pe_1", "cookie", "")
		b.is(b.EndSession(b.ctx(), "se_1", "pe_2", did("session.ended")), session.ErrNoSession)
		b.ok(b.EndSession(b.ctx(), "se_1", "pe_1", did("session.ended")))
		b.sessionRevoked("se_1")
		b.is(b.EndSession(b.ctx(), "se_1", "", did("session.ended")), session.ErrNoSession)
	})
	t.Run("ending all of a person keeps the one named and those of others", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 4 {
			b.signIn(fmt.Sprintf("se_%d", i), "pe_1", fmt.Sprint(i), "")
		}
		b.signIn("se_other", "pe_2", "x", "")
		n, err := b.EndSessionsOf(b.ctx(), "pe_1", "se_2", did("session.ended"))
		b.ok(err)
		if n != 3 {
			t.Errorf("ended %d", n)
		}
		for _, cookie := range []string{"2", "x"} {
			_, err := b.SessionByCookie(b.ctx(), secret.HashOf(cookie))
			b.ok(err)
		}
		_, err = b.SessionByCookie(b.ctx(), secret.HashOf("1"))
		b.is(err, session.ErrNoSession)
		b.sessionRevoked("se_0")
	})
	t.Run("a person has so many, and the oldest go", func(t *testing.T) {
		b := setUp(t, open)
		for i := range 1000 {
			b.signIn(fmt.Sprintf("se_%d", i), "pe_1", fmt.Sprint(i), "")
		}
		b.signIn("se_other", "pe_2", "x", "")
		b.clock.move(time.Second)
		b.signIn("se_new", "pe_1", "new", "")
		list, err := b.SessionsOf(b.ctx(), "pe_1", b.clock.now())
		b.ok(err)
		if len(list) != 1000 || list[999].ID != "se_new" {
			t.Errorf("%d sessions", len(list))
		}
		if n := len(b.revoked()); n != 1 {
			t.Errorf("%d revocations", n)
		}
	})
	t.Run("cleaning ends what was not used, and what it meant is revoked", func(t *testing.T) {
		b := setUp(t, open)
		b.signIn("se_1", "pe_1", "1", "")
		b.signIn("se_2", "pe_1", "2", "")
		b.clock.move(59 * time.Minute)
		b.ok(b.TouchSession(b.ctx(), "se_2", b.clock.now()))
		b.clock.move(time.Minute)
		_, err := b.Clean(b.ctx(), b.clock.now(), 100)
		b.ok(err)
		_, err = b.SessionByCookie(b.ctx(), secret.HashOf("2"))
		b.ok(err)
		_, err = b.SessionByCookie(b.ctx(), secret.HashOf("1"))
		b.is(err, session.ErrNoSession)
		b.sessionRevoked("se_1")
	})
}

// sessionRevoked checks that what was issued in a session is refused.
func (b *trial) sessionRevoked(id string) {
	b.t.Helper()
	list, err := b.Revocations(b.ctx(), b.clock.now())
	b.ok(err)
	for _, r := range list {
		if r.Kind == token.RevokeSession && r.ID == id {
			return
		}
	}
	b.t.Errorf("%s is not revoked: %+v", id, list)
}

func testRequests(t *testing.T, open Open) {
	t.Run("a request waits in its browser only, as it was put", func(t *testing.T) {
		b := setUp(t, open)
		w := b.waiting("rq_1", "browser")
		b.reopen()
		q, err := b.Request(b.ctx(), w, noon)
		b.ok(err)
		if string(q.Payload) != "payload of rq_1" || q.Return != "/authorize?r=rq_1" || !q.Demand.Prompts("login") || q.Answer != nil || !q.Demand.Since.Equal(kept(noon)) {
			t.Errorf("got %+v", q)
		}
		for name, other := range map[string]session.Waiting{
			"another browser": {Request: "rq_1", Browser: secret.HashOf("another")}, "no browser": {Request: "rq_1"},
			"another request": {Request: "rq_2", Browser: w.Browser}, "nothing": {},
		} {
			if _, err := b.Request(b.ctx(), other, noon); !errors.Is(err, session.ErrGone) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err = b.Request(b.ctx(), w, noon.Add(30*time.Minute))
		b.is(err, session.ErrGone)
	})
	t.Run("the first answer stands", func(t *testing.T) {
		b := setUp(t, open)
		w := b.waiting("rq_1", "browser")
		var won atomic.Int32
		together(64, func(i int) {
			err := b.AnswerRequest(b.ctx(), w, session.Answer{Error: fmt.Sprintf("e%d", i), At: noon}, nil, did("request.answered"))
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, session.ErrGone):
				t.Error(err)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d answers stand", won.Load())
		}
		_, err := b.ProgressRequest(b.ctx(), w, noon, func(*session.Progress) error { return nil })
		b.is(err, session.ErrGone)
	})
	t.Run("of those who take an answered request together one gets it", func(t *testing.T) {
		b := setUp(t, open)
		w := b.waiting("rq_1", "browser")
		_, err := b.TakeRequest(b.ctx(), w, noon)
		b.is(err, session.ErrGone)
		b.ok(b.AnswerRequest(b.ctx(), w, session.Answer{Error: "access_denied", At: noon}, nil, did("request.answered")))
		_, err = b.TakeRequest(b.ctx(), session.Waiting{Request: "rq_1", Browser: secret.HashOf("another")}, noon)
		b.is(err, session.ErrGone)
		var won atomic.Int32
		together(64, func(int) {
			q, err := b.TakeRequest(b.ctx(), w, noon)
			switch {
			case err == nil && q.Answer.Error == "access_denied":
				won.Add(1)
			case !errors.Is(err, session.ErrGone):
				t.Errorf("%+v, %v", q, err)
			}
		})
		if won.Load() != 1 {
			t.Errorf("%d took it", won.Load())
		}
	})
	t.Run("an answer in a session that has ended, or of another person, is none", func(t *testing.T) {
		b := setUp(t, open)
		s := b.signIn("se_1", "pe_1", "cookie", "")
		w := b.waiting("rq_1", "browser")
		b.is(b.AnswerRequest(b.ctx(), w, session.Answer{PersonID: "pe_2", SessionID: s.ID, At: noon}, nil, did("x")), session.ErrNoSession)
		b.is(b.AnswerRequest(b.ctx(), w, session.Answer{PersonID: "pe_1", At: noon}, nil, did("x")), session.ErrNoSession)
		b.ok(b.EndSession(b.ctx(), s.ID, "", did("session.ended")))
		b.is(b.AnswerRequest(b.ctx(), w, session.Answer{PersonID: "pe_1", SessionID: s.ID, At: noon}, nil, did("x")), session.ErrNoSession)
		q, err := b.Request(b.ctx(), w, noon)
		b.ok(err)
		if q.Answer != nil {
			t.Errorf("answered: %+v", q.Answer)
		}
	})
	t.Run("progress is made one at a time", func(t *testing.T) {
		b := setUp(t, open)
		w := b.waiting("rq_1", "browser")
		together(32, func(int) {
			if _, err := b.ProgressRequest(b.ctx(), w, noon, func(p *session.Progress) error { p.Wrong++; return nil }); err != nil {
				t.Error(err)
			}
		})
		q, err := b.Request(b.ctx(), w, noon)
		b.ok(err)
		if q.Progress.Wrong != 32 {
			t.Errorf("counted %d", q.Progress.Wrong)
		}
	})
	t.Run("a browser holds so many, and all of them together too: the oldest go", func(t *testing.T) {
		b := setUp(t, open)
		first := b.waiting("rq_first", "browser")
		for i := range 5 {
			b.waiting(fmt.Sprint("rq_", i), "browser")
		}
		_, err := b.Request(b.ctx(), first, noon)
		b.is(err, session.ErrGone)
		kept := session.Waiting{Request: "rq_0", Browser: secret.HashOf("browser")}
		_, err = b.Request(b.ctx(), kept, noon)
		b.ok(err)
		for i := range 120 {
			b.waiting(fmt.Sprint("rq_other_", i), fmt.Sprint("browser", i))
		}
		_, err = b.Request(b.ctx(), kept, noon)
		b.is(err, session.ErrGone)
		_, err = b.Request(b.ctx(), session.Waiting{Request: "rq_other_119", Browser: secret.HashOf("browser119")}, noon)
		b.ok(err)
		deleted, err := b.Clean(b.ctx(), noon.Add(time.Hour), 1000)
		b.ok(err)
		if deleted != 100 {
			t.Errorf("%d were kept, want 100", deleted)
		}
	})
	t.Run("a payload has a bound", func(t *testing.T) {
		b := setUp(t, open)
		err := b.PutRequest(b.ctx(), session.Request{ID: "rq", Browser: secret.HashOf("b"), Kind: session.ForClient, Expires: noon, Payload: make([]byte, session.MaxPayload+1)}, bounds)
		if err == nil {
			t.Error("kept")
		}
	})
}

func testConsents(t *testing.T, open Open) {
	app := &client.Client{ID: "cl_1", Name: "Shop"}
	allow := func(b *trial, rq string, c *client.Client, ask session.Ask, scope ...string) {
		b.t.Helper()
		s := b.signIn("se_"+rq, "pe_1", rq, "")
		consent := ask.ConsentTo("pe_1", c, scope, noon)
		b.ok(b.AnswerRequest(b.ctx(), b.waiting(rq, "browser"), session.Answer{PersonID: "pe_1", SessionID: s.ID, Scope: scope, At: noon}, &consent, did("consent.given")))
	}
	t.Run("what is allowed adds up, by client and resources", func(t *testing.T) {
		b := setUp(t, open)
		orders := session.Ask{Resources: []string{"https://b.example", "https://a.example"}}
		allow(b, "1", app, session.Ask{}, "openid")
		allow(b, "2", app, session.Ask{}, "email")
		allow(b, "3", app, orders, "read:orders")
		c, err := b.Consent(b.ctx(), "pe_1", "cl_1", nil)
		b.ok(err)
		if !c.Scope.Equal(oauth.Scope{"openid", "email"}) || !c.Covers(oauth.Scope{"email"}, session.FingerprintOf(app)) || c.Covers(oauth.Scope{"read:orders"}, session.FingerprintOf(app)) {
			t.Errorf("got %+v", c)
		}
		c, err = b.Consent(b.ctx(), "pe_1", "cl_1", []string{"https://a.example", "https://b.example"})
		b.ok(err)
		if !c.Scope.Equal(oauth.Scope{"read:orders"}) {
			t.Errorf("got %+v", c)
		}
		list, err := b.ConsentsOf(b.ctx(), "pe_1")
		b.ok(err)
		if len(list) != 2 {
			t.Errorf("got %+v", list)
		}
		for _, other := range [][2]string{{"pe_2", "cl_1"}, {"pe_1", "cl_2"}} {
			c, err := b.Consent(b.ctx(), other[0], other[1], nil)
			b.ok(err)
			if c.Covers(nil, session.FingerprintOf(app)) {
				t.Errorf("%v: got %+v", other, c)
			}
		}
	})
	t.Run("checklist_61 a client that has changed starts anew", func(t *testing.T) {
		b := setUp(t, open)
		allow(b, "1", app, session.Ask{}, "openid", "email")
		renamed := *app
		renamed.Name = "Your bank"
		allow(b, "2", &renamed, session.Ask{}, "openid")
		c, err := b.Consent(b.ctx(), "pe_1", "cl_1", nil)
		b.ok(err)
		if c.Covers(nil, session.FingerprintOf(app)) || c.Covers(oauth.Scope{"email"}, session.FingerprintOf(&renamed)) {
			t.Errorf("got %+v", c)
		}
	})
	t.Run("the next client of an id is asked about", func(t *testing.T) {
		b := setUp(t, open)
		b.haveClients(plainClient("cl_1"))
		allow(b, "1", app, session.Ask{}, "openid")
		b.ok(b.DeleteClient(b.ctx(), "cl_1", did("client.deleted")))
		list, err := b.ConsentsOf(b.ctx(), "pe_1")
		b.ok(err)
		if len(list) != 0 {
			t.Errorf("got %+v", list)
		}
	})
	t.Run("withdrawn it is forgotten, and what came of it revoked", func(t *testing.T) {
		b := setUp(t, open)
		allow(b, "1", app, session.Ask{}, "openid")
		allow(b, "2", app, session.Ask{Resources: []string{"https://a.example"}}, "openid")
		b.ok(b.WithdrawConsent(b.ctx(), "pe_1", "cl_1", did("consent.withdrawn")))
		list, err := b.ConsentsOf(b.ctx(), "pe_1")
		b.ok(err)
		if len(list) != 0 {
			t.Errorf("got %+v", list)
		}
		var r token.Revocations
		revoked, err := b.Revocations(b.ctx(), noon)
		b.ok(err)
		r.Add(revoked...)
		at := noon.Add(-time.Minute)
		if !r.Revoked(token.Claims{ClientID: "cl_1", Login: token.Login{PersonID: "pe_1"}, IssuedAt: at}) {
			t.Error("tokens are not revoked")
		}
		if r.Revoked(token.Claims{ClientID: "cl_1", Login: token.Login{PersonID: "pe_2"}, IssuedAt: at}) || r.Revoked(token.Claims{ClientID: "cl_2", Login: token.Login{PersonID: "pe_1"}, IssuedAt: at}) {
			t.Error("tokens of others are revoked")
		}
	})
}
