package authserver_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// Whatever grant a token is of, whoever had it issued ends it, and nothing else.
func TestTokensOfEveryGrantAreRevoked(t *testing.T) {
	// checklist_125
	p := newPeopleWorld(t)
	w := p.world
	p.add(app())
	tv := cli()
	tv.Grants, tv.Scopes = append(tv.Grants, oauth.GrantRefreshToken), append(tv.Scopes, "offline_access")
	p.add(tv)
	_, front := w.withSecret(billing())
	_, stock := w.withSecret(client.Client{
		ID: "stock", Grants: []string{oauth.GrantTokenExchange}, Scopes: oauth.Scope{"read:orders"},
		Details: client.Details{Exchange: client.Exchange{From: []string{"app", "billing"}}},
	})
	_, reader := w.withSecret(client.Client{ID: "rs", Resources: []string{api}, Grants: []string{}})
	active := func(token string) bool {
		return w.post("/introspect", reader, values("token", token)).json["active"] == true
	}
	trade := func(subject string) answer {
		return w.post("/token", stock, values("grant_type", oauth.GrantTokenExchange, "subject_token", subject, "subject_token_type", oauth.TypeAccessToken))
	}
	coded := func() answer {
		v := p.signIn("pe_alice")
		return p.redeem(v.code(usual("resource", api), "pe_alice"), nil)
	}
	device := func() answer {
		code, shown := p.began("cli", "scope", "read:orders offline_access")
		p.answered(shown)
		return p.poll("cli", code)
	}
	public := func(id string) url.Values { return values("client_id", id) }
	for _, tt := range []struct {
		name   string
		issue  func() (revoke string, falls []string, stays []string)
		header http.Header
		form   url.Values
	}{
		{"client_credentials", func() (string, []string, []string) {
			one, other := w.token(front).ok(), w.token(front).ok()
			return one, []string{one}, []string{other}
		}, front, nil},
		{"an access token of a code", func() (string, []string, []string) {
			a, other := coded(), coded()
			return a.ok(), []string{a.ok()}, []string{other.ok()}
		}, nil, public("app")},
		{"a refresh token of a code, and with it all of its grant", func() (string, []string, []string) {
			a, other := coded(), coded()
			renewed := p.refresh(a.text("refresh_token"))
			traded := trade(renewed.ok()).ok()
			return renewed.text("refresh_token"), []string{a.ok(), renewed.ok(), traded}, []string{other.ok()}
		}, nil, public("app")},
		{"a refresh token of a device", func() (string, []string, []string) {
			a, other := device(), device()
			return a.text("refresh_token"), []string{a.ok()}, []string{other.ok()}
		}, nil, public("cli")},
		{"a token that another was exchanged for, and not that other", func() (string, []string, []string) {
			subject := coded().ok()
			traded := trade(subject).ok()
			return traded, []string{traded}, []string{subject}
		}, stock, nil},
		{"a token of no grant, with what it was exchanged for", func() (string, []string, []string) {
			subject := w.token(front, "scope", "read:orders").ok()
			return subject, []string{subject, trade(subject).ok()}, nil
		}, front, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			revoke, falls, stays := tt.issue()
			for i, token := range append(falls, stays...) {
				if !active(token) {
					t.Fatalf("token %d is not active before", i)
				}
			}
			form := values("token", revoke)
			if tt.form != nil {
				form = merged(form, tt.form)
			}
			if a := w.post("/revoke", tt.header, form); a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
			for i, token := range falls {
				if active(token) {
					t.Errorf("token %d is still active", i)
				}
			}
			for i, token := range stays {
				if !active(token) {
					t.Errorf("token %d of another grant fell too", i)
				}
			}
		})
	}
	t.Run("checklist_121 and nobody ends what another client had issued", func(t *testing.T) {
		issued := coded()
		for _, token := range []string{issued.ok(), issued.text("refresh_token")} {
			w.post("/revoke", stock, values("token", token))
			w.post("/revoke", nil, merged(public("cli"), values("token", token)))
		}
		if !active(issued.ok()) || p.refresh(issued.text("refresh_token")).ok() == "" {
			t.Error("it fell")
		}
	})
}
