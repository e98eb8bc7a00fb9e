package authserver_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/session"
)

// notices are what the store keeps of ended sessions.
type notices struct {
	mu      sync.Mutex
	waiting map[string]session.Notice
}

func (n *notices) DueNotices(_ context.Context, now time.Time, limit int) (due []session.Notice, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range n.waiting {
		if !one.Due.After(now) && len(due) < limit {
			due = append(due, one)
		}
	}
	return due, nil
}

func (n *notices) SettleNotice(_ context.Context, id string, again time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	one := n.waiting[id]
	if delete(n.waiting, id); !again.IsZero() {
		one.Due, one.Attempts = again, one.Attempts+1
		n.waiting[id] = one
	}
	return nil
}

// relyingParties are the clients' ends, which check what they are sent.
type relyingParties struct {
	mu     sync.Mutex
	status int
	err    error
	got    []url.Values
	to     []string
}

func (r *relyingParties) Post(_ context.Context, to string, form url.Values) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.to = append(r.got, form), append(r.to, to)
	return r.status, r.err
}

func TestChecklist210and211(t *testing.T) {
	w := newPeopleWorld(t)
	c := app()
	c.BackchannelLogoutURI, c.SubjectType, c.SectorIdentifier = "https://client.example/out", client.SubjectPairwise, "client.example"
	w.add(c)
	quiet := app()
	quiet.ID = "quiet"
	w.add(quiet)
	alice := w.signIn("pe_alice")
	id := claims(t, w.redeem(alice.code(usual(), "pe_alice"), nil).text("id_token"))
	from := &notices{waiting: map[string]session.Notice{}}
	ends := func(clientID string) {
		from.waiting["jti-"+clientID] = session.Notice{ID: "jti-" + clientID, ClientID: clientID, SessionID: "se_1", PersonID: "pe_alice", Created: w.now(), Due: w.now()}
	}
	tell := func(by *relyingParties) {
		t.Helper()
		if err := w.server.TellLogouts(t.Context(), from, by); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("checklist_210 what a client is sent", func(t *testing.T) {
		ends("app")
		rp := &relyingParties{status: 200}
		tell(rp)
		if len(rp.got) != 1 || rp.to[0] != "https://client.example/out" || len(rp.got[0]) != 1 {
			t.Fatalf("%v to %v", rp.got, rp.to)
		}
		raw := rp.got[0].Get("logout_token")
		parsed, err := jose.Parse(raw, jose.RS256)
		if err != nil || parsed.Header().Type != "logout+jwt" {
			t.Fatalf("%v, %v", parsed, err)
		}
		set, err := jose.ParseKeySet([]byte(w.get("/jwks").body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(set.Candidates(parsed.Header().KeyID, jose.RS256)...); err != nil {
			t.Fatal(err)
		}
		said := claims(t, raw)
		events, _ := said["events"].(map[string]any)
		event, _ := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
		if said["iss"] != issuerURL || said["aud"] != "app" || said["jti"] != "jti-app" || !strings.HasPrefix(said["sid"].(string), "ps_") || said["sub"] != id["sub"] || event == nil || len(event) != 0 {
			t.Errorf("%v", said)
		}
		if _, there := said["nonce"]; there || said["iat"] != float64(w.now().Unix()) || said["exp"].(float64) > float64(w.now().Add(2*time.Minute).Unix()) {
			t.Errorf("%v", said)
		}
		if _, err := w.verifier.Verify(raw); err == nil {
			t.Error("checklist_116: the gateway takes it")
		}
		alice.authorize(usual("id_token_hint", raw)).failed("invalid_request", "id_token_hint")
		if len(from.waiting) != 0 {
			t.Error("it is sent again")
		}
	})
	t.Run("checklist_211 a client that does not wish it, or is gone, is not called", func(t *testing.T) {
		ends("quiet")
		ends("gone")
		rp := &relyingParties{status: 200}
		tell(rp)
		if len(rp.got) != 0 || len(from.waiting) != 0 {
			t.Errorf("%v, waiting %v", rp.to, from.waiting)
		}
	})
	for name, rp := range map[string]*relyingParties{
		"refuses it": {status: 400}, "redirects": {status: 302}, "cannot be reached": {err: errors.New("no route")},
	} {
		t.Run("checklist_211 a client that "+name+" is tried again, and not for ever", func(t *testing.T) {
			ends("app")
			for round := 0; len(from.waiting) > 0; round++ {
				before := len(rp.got)
				tell(rp)
				tell(rp) // not before its time
				if len(rp.got) != before+1 || round > 20 {
					t.Fatalf("round %d: %d attempts", round, len(rp.got)-before)
				}
				w.advance(2 * time.Hour)
			}
			if n := len(rp.got); n < 3 || n > 10 {
				t.Errorf("%d attempts", n)
			}
		})
	}
	t.Run("checklist_211 204 is heard too", func(t *testing.T) {
		ends("app")
		tell(&relyingParties{status: 204})
		if len(from.waiting) != 0 {
			t.Error("it is sent again")
		}
	})
}
