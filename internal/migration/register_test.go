package migration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/migration/importfile"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/traffic"
)

const value = "live_0123456789abcdef"

func TestAnUpgradeMakesAClientForWhatTheAPIKeyDid(t *testing.T) {
	w := newWorld(t, route(t, "GET /v1/orders/**", "orders:read"))
	k := w.inUse(value)
	w.calls(seen(k.ID, "POST", "/v1/orders", 1, at(noon.Add(-8*24*time.Hour)), status(201)))
	c := w.register(value)
	switch {
	case c.Status != client.Active || c.PendingReason != "":
		t.Errorf("it waits: %s %s", c.Status, c.PendingReason)
	case c.Scopes.String() != "create:orders orders:read":
		t.Errorf("scopes %q", c.Scopes)
	case c.Owner != "Acme" || c.APIKeyID != k.ID || c.Source != client.SourceUpgrade || c.Name != "orders":
		t.Errorf("%+v", c)
	case c.AuthMethod != oauth.AuthPrivateKeyJWT || c.Audience != client.Strict || !slices.Equal(c.Grants, []string{oauth.GrantClientCredentials}):
		t.Errorf("%+v", c)
	case len(c.Credentials) != 2 || c.Credentials[0].Key == nil || c.Credentials[1].Kind != client.KindRegistration || len(c.DefaultScopes) != 0:
		t.Errorf("%+v", c)
	}
	if mapped := w.key(k.ID); mapped.ClientID != c.ID || mapped.Bucket() != c.Bucket() { // G-27
		t.Errorf("the apikey is mapped to %q, bucket %q", mapped.ClientID, mapped.Bucket())
	}
	if !slices.Equal(w.told, []string{k.ID + " " + c.ID}) {
		t.Errorf("the owner was told of %v", w.told)
	}
	entries, err := w.db.AuditEntries(w.ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	last := entries[len(entries)-1]
	if last.Actor != "apikey:"+k.ID || last.Action != "client.registered_by_apikey" || last.Object != c.ID || !strings.Contains(string(last.Detail), "203.0.113.0/24") || strings.Contains(string(last.Detail), value) {
		t.Errorf("audit: %+v %s", last, last.Detail)
	}
}

func TestWhoMayNotUpgrade(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world, *apikey.Key)
		value  string
		want   string // of the description
	}{
		{"an apikey that nobody knows", nil, "made up", "not known here, or no longer accepted"},
		{"no apikey", nil, " ", "not known here, or no longer accepted"},
		{"nothing", nil, "", "not known here, or no longer accepted"},
		{"more than an apikey can be", nil, strings.Repeat("x", 1<<20), "not known here, or no longer accepted"},
		{"a blocked one, with the same answer", func(w *world, k *apikey.Key) { w.move(k.ID, apikey.Blocked) }, value, "not known here, or no longer accepted"},
		{"a retired one", func(w *world, k *apikey.Key) { w.move(k.ID, apikey.Retired) }, value, "retired"},
		{"one that follows all into retirement", func(w *world, k *apikey.Key) { w.moveAll(apikey.Retired) }, value, "retired"},
		{"one that the API has refused", func(w *world, k *apikey.Key) {
			w.edit(k.ID, func(k *apikey.Key) { k.Suspended = true })
		}, value, "refused this apikey"},
		{"a learnt one 10 minutes after its last success", func(w *world, k *apikey.Key) { w.pass(9*time.Minute + time.Second) }, value, "call the API with this apikey first"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			k := w.inUse(value)
			if tt.change != nil {
				tt.change(w, k)
			}
			c, err := w.Register(w.ctx, tt.value, w.metadata(), anAccess(), w.source)
			var refused *oauth.Error
			if !errors.As(err, &refused) || refused.Code != oauth.CodeInvalidToken || refused.Status != http.StatusUnauthorized || !strings.Contains(refused.Description, tt.want) { // checklist_183
				t.Fatalf("got %v, %v", c, err)
			}
			if n := w.clients(); n != 0 || len(w.told) != 0 {
				t.Errorf("%d clients were made", n)
			}
		})
	}
}

func TestInWhichStagesTheUpgradeIsOpen(t *testing.T) {
	for stage, open := range map[apikey.Stage]bool{
		apikey.Observe: true, apikey.Warn: true, apikey.Brownout: true, apikey.UpgradeOnly: true, apikey.Retired: false, apikey.Blocked: false,
	} {
		t.Run(stage.String(), func(t *testing.T) {
			w := newWorld(t)
			k := w.inUse(value)
			w.move(k.ID, stage)
			if _, err := w.Register(w.ctx, value, w.metadata(), anAccess(), w.source); (err == nil) != open {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestARetirementThatComesWhileItRegistersIsObeyed(t *testing.T) {
	// the rules are asked again in the transaction, where nothing comes between
	w := newWorld(t)
	k := w.inUse(value)
	seenBefore, err := w.evidenceOf(w.ctx, k)
	if err != nil {
		t.Fatal(err)
	}
	w.move(k.ID, apikey.Retired)
	c, err := clientFrom(w.metadata(), k, w.now())
	if err != nil {
		t.Fatal(err)
	}
	err = w.db.RegisterUpgrade(w.ctx, k.ID, c, true, func(existing []*client.Client, k *apikey.Key) error {
		return w.decideRegistration(c, "", existing, k, seenBefore, &registration{})
	}, audit.Event{Actor: "test", Action: "test"})
	if err == nil || w.clients() != 0 {
		t.Errorf("registered: %v", err)
	}
}

func TestALearntApikeyNeedsTheAPIsOwnWord(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stage apikey.Stage
		ago   time.Duration // that the API accepted it, 0 never
		want  client.Status // "" is refused
	}{
		{"a minute ago", apikey.Observe, time.Minute, client.Active},
		{"10 minutes ago", apikey.Warn, 10 * time.Minute, client.Active},
		{"11 minutes ago", apikey.Observe, 11 * time.Minute, ""},
		{"never", apikey.Observe, 0, ""},
		{"a minute ago, before its calls were refused here", apikey.UpgradeOnly, time.Minute, client.Active},
		{"long ago, since its calls are refused here", apikey.UpgradeOnly, 30 * 24 * time.Hour, client.Pending},
		{"long ago, and it is retired", apikey.Retired, 30 * 24 * time.Hour, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			k := w.inUse(value)
			w.move(k.ID, tt.stage)
			w.accepted = map[string]time.Time{}
			if tt.ago > 0 {
				w.accepted[k.ID] = w.now().Add(-tt.ago)
			}
			c, err := w.Register(w.ctx, value, w.metadata(), anAccess(), w.source)
			switch {
			case tt.want == "" && err == nil:
				t.Errorf("registered: %+v", c)
			case tt.want != "" && (err != nil || c.Status != tt.want):
				t.Errorf("%+v, %v", c, err)
			case tt.want == client.Pending && !strings.Contains(c.PendingReason, "refused here"):
				t.Errorf("it waits because %q", c.PendingReason)
			}
		})
	}
	t.Run("an imported apikey needs none", func(t *testing.T) {
		w := newWorld(t)
		w.imported(value)
		if c := w.register(value); c.Status != client.Active || len(c.Scopes) != 0 {
			t.Errorf("%s with %q", c.Status, c.Scopes)
		}
	})
}

func TestWhichClientsWait(t *testing.T) {
	tests := []struct {
		name   string
		rows   func(id string) []traffic.Row
		before int // clients that the apikey has made
		wait   string
	}{
		{"the first", nil, 0, ""},
		{"the second of one program", nil, 1, "a client for each program"},
		{"the second of two programs", func(id string) []traffic.Row { return []traffic.Row{seen(id, "GET", "/v1/orders", 1, agent(python))} }, 1, ""},
		{"the third of two programs", func(id string) []traffic.Row { return []traffic.Row{seen(id, "GET", "/v1/orders", 1, agent(python))} }, 2, "a client for each program"},
		{"of an apikey in the query", func(id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/v1/orders", 1, carrier("query:key"))}
		}, 0, "query"},
		{"of an apikey in browsers", func(id string) []traffic.Row { return []traffic.Row{seen(id, "GET", "/v1/orders", 1, agent(firefox))} }, 0, "browser"},
		{"of a shared apikey", func(id string) []traffic.Row {
			return []traffic.Row{seen(id, "GET", "/v1/orders", 1, agent(python), from("198.51.100.0/24"))}
		}, 0, "shared"},
		{"risks of other apikeys do not matter", func(string) []traffic.Row {
			return []traffic.Row{seen("ak_other", "GET", "/v1/orders", 1, carrier("query:key"))}
		}, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			k := w.inUse(value)
			if tt.rows != nil {
				w.calls(tt.rows(k.ID)...)
			}
			for range tt.before {
				w.register(value)
			}
			c := w.register(value)
			if (c.Status == client.Pending) != (tt.wait != "") || !strings.Contains(c.PendingReason, tt.wait) {
				t.Errorf("%s: %q", c.Status, c.PendingReason)
			}
			if tt.wait != "" && w.key(k.ID).ClientID == c.ID {
				t.Error("the apikey is mapped to a client that waits")
			}
			if len(w.told) != tt.before+1 {
				t.Errorf("the owner was told %d times", len(w.told))
			}
		})
	}
}

func TestADisabledClientDoesNotMakeRoomForAnother(t *testing.T) {
	w := newWorld(t)
	w.inUse(value)
	first := w.register(value)
	if _, err := w.db.UpdateClient(w.ctx, first.ID, func(c *client.Client) error { c.Status = client.Disabled; return nil }, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	if c := w.register(value); c.Status != client.Pending {
		t.Errorf("the second is %s", c.Status)
	}
}

func TestOfTwoRegistrationsAtOnceOneIsTheFirst(t *testing.T) {
	w := newWorld(t)
	k := w.inUse(value)
	const together = 8
	made := make([]*client.Client, together)
	metadata := make([]oauth.ClientMetadata, together)
	for i := range metadata {
		metadata[i] = w.metadata()
	}
	w.Notifier = nil
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range together {
		wg.Go(func() {
			<-start
			c, err := w.Register(w.ctx, value, metadata[i], anAccess(), w.source)
			if err != nil {
				t.Error(err)
			}
			made[i] = c
		})
	}
	close(start)
	wg.Wait()
	active := ""
	for _, c := range made {
		if c == nil || c.Status != client.Active {
			continue
		}
		if active != "" {
			t.Errorf("%s and %s are both active", active, c.ID)
		}
		active = c.ID
	}
	if active == "" || w.key(k.ID).ClientID != active || w.clients() != together {
		t.Errorf("active %q, mapped to %q, %d clients", active, w.key(k.ID).ClientID, w.clients())
	}
}

func TestFreshScopesThatWriteWait(t *testing.T) {
	day := 24 * time.Hour
	use := func(method, template string, first, last time.Duration) func(string) []traffic.Row {
		return func(id string) []traffic.Row {
			return []traffic.Row{seen(id, method, template, 1, ago(first)), seen(id, method, template, 1, ago(last))}
		}
	}
	tests := []struct {
		name             string
		rows             func(string) []traffic.Row
		asked            string
		granted, pending string
	}{
		{"reading is granted at once", use("GET", "/v1/users", 0, 0), "", "read:orders read:users", ""},
		{"writing for a week is granted", use("POST", "/v1/users", 7*day, 0), "", "create:users read:orders", ""},
		{"writing for less waits", use("POST", "/v1/users", 7*day-time.Hour, 0), "", "read:orders", "create:users"},
		{"administering for less waits", use("GET", "/v1/admin/users", day, 0), "", "read:orders", "read:admin"},
		{"what was never used waits", nil, "read:orders read:other", "read:orders", "read:other"},
		{"less may be asked for", use("GET", "/v1/users", 0, 0), "read:users", "read:users", ""},
		{"asking does not make it less fresh", use("DELETE", "/v1/users/{id}", day, 0), "delete:users", "", "delete:users"},
		{"a refused call gives nothing", func(id string) []traffic.Row {
			return []traffic.Row{seen(id, "DELETE", "/v1/users/{id}", 1, ago(20*day), status(403))}
		}, "", "read:orders", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			k := w.inUse(value)
			if tt.rows != nil {
				w.calls(tt.rows(k.ID)...)
			}
			c := w.register(value, func(md *oauth.ClientMetadata) { md.Scope = tt.asked })
			if c.Scopes.String() != tt.granted || c.PendingScopes.String() != tt.pending || c.Status != client.Active {
				t.Errorf("%s: granted %q, pending %q", c.Status, c.Scopes, c.PendingScopes)
			}
			for _, name := range c.PendingScopes {
				if !strings.Contains(c.PendingReason, name) {
					t.Errorf("reason %q does not name %s", c.PendingReason, name)
				}
			}
			if (c.PendingReason != "") != (len(c.PendingScopes) > 0) {
				t.Errorf("reason %q", c.PendingReason)
			}
		})
	}
}

func TestTheSameKeysAgainAreTheSameClient(t *testing.T) {
	w := newWorld(t)
	w.inUse(value)
	md := w.metadata()
	first, err := w.Register(w.ctx, value, md, anAccess(), w.source)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Register(w.ctx, value, md, anAccess(), w.source)
	if err != nil || again.ID != first.ID || again.Status != client.Active || w.clients() != 1 {
		t.Errorf("%v, %v; %d clients", again, err, w.clients())
	}
	// before the first was answered the process may have ended, with nobody told
	if len(w.told) != 2 || w.told[1] != w.told[0] {
		t.Errorf("told of %q", w.told)
	}
	if err := w.db.TouchClients(w.ctx, map[string]map[string]time.Time{first.ID: {first.Credentials[0].ID: w.now()}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Register(w.ctx, value, md, anAccess(), w.source); err != nil || len(w.told) != 2 {
		t.Errorf("%v; a client in use was told of again: %q", err, w.told)
	}
	// a disabled client does not come back by asking again
	if _, err := w.db.UpdateClient(w.ctx, first.ID, func(c *client.Client) error { c.Status = client.Disabled; return nil }, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	if again, err = w.Register(w.ctx, value, md, anAccess(), w.source); err != nil || again.ID == first.ID || again.Status != client.Pending {
		t.Errorf("%+v, %v", again, err)
	}
	// nor does another apikey get it
	w.inUse("live_another_0123456789")
	if other, err := w.Register(w.ctx, "live_another_0123456789", md, anAccess(), w.source); err != nil || other.ID == first.ID || other.ID == again.ID {
		t.Errorf("%+v, %v", other, err)
	}
}

func TestAnAPIKeyCannotFillTheStore(t *testing.T) {
	w := newWorld(t)
	w.inUse(value)
	for range maxClientsPerAPIKey {
		w.register(value)
	}
	_, err := w.Register(w.ctx, value, w.metadata(), anAccess(), w.source)
	var refused *oauth.Error
	if !errors.As(err, &refused) || refused.Code != oauth.CodeAccessDenied || refused.Status != http.StatusForbidden || w.clients() != maxClientsPerAPIKey {
		t.Errorf("%v, %d clients", err, w.clients())
	}
}

func TestMetadataThatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.inUse(value)
	private := `{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}]}`
	tests := []struct {
		name   string
		change func(*oauth.ClientMetadata)
		code   string
		want   string
	}{
		{"a secret", func(md *oauth.ClientMetadata) { md.TokenEndpointAuthMethod = oauth.AuthClientSecretBasic }, oauth.CodeInvalidClientMetadata, "private_key_jwt"},
		{"no proof at all", func(md *oauth.ClientMetadata) { md.TokenEndpointAuthMethod = oauth.AuthNone }, oauth.CodeInvalidClientMetadata, "private_key_jwt"},
		{"no keys", func(md *oauth.ClientMetadata) { md.JWKS = nil }, oauth.CodeInvalidClientMetadata, "jwks is missing"},
		{"keys behind a URI", func(md *oauth.ClientMetadata) { md.JWKS, md.JWKSURI = nil, "https://acme.example/jwks" }, oauth.CodeInvalidClientMetadata, "jwks_uri"},
		{"no key set", func(md *oauth.ClientMetadata) { md.JWKS = json.RawMessage(`[]`) }, oauth.CodeInvalidClientMetadata, "jwks"},
		{"a private key", func(md *oauth.ClientMetadata) { md.JWKS = json.RawMessage(private) }, oauth.CodeInvalidClientMetadata, "private key"},
		{"an algorithm that the keys do not have", func(md *oauth.ClientMetadata) { md.TokenEndpointAuthSigningAlg = "RS256" }, oauth.CodeInvalidClientMetadata, "token_endpoint_auth_signing_alg"},
		{"no algorithm", func(md *oauth.ClientMetadata) { md.TokenEndpointAuthSigningAlg = "none" }, oauth.CodeInvalidClientMetadata, "token_endpoint_auth_signing_alg"},
		{"checklist_181 another grant", func(md *oauth.ClientMetadata) { md.GrantTypes = []string{oauth.GrantAuthorizationCode} }, oauth.CodeInvalidClientMetadata, "client_credentials"},
		{"checklist_180 a redirect", func(md *oauth.ClientMetadata) { md.RedirectURIs = []string{"https://acme.example/cb"} }, oauth.CodeInvalidRedirectURI, "redirect"},
		{"a protection that is not there", func(md *oauth.ClientMetadata) { md.DPoPBoundAccessTokens = true }, oauth.CodeInvalidClientMetadata, "dpop_bound_access_tokens"},
		{"a software statement", func(md *oauth.ClientMetadata) { md.SoftwareStatement = "a.b.c" }, oauth.CodeInvalidClientMetadata, "software_statement"},
		{"a scope that is none", func(md *oauth.ClientMetadata) { md.Scope = "a\x01b" }, oauth.CodeInvalidClientMetadata, "scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := w.Register(w.ctx, value, w.metadata(tt.change), anAccess(), w.source)
			var refused *oauth.Error
			if !errors.As(err, &refused) || refused.Code != tt.code || refused.Status != http.StatusBadRequest || !strings.Contains(refused.Description, tt.want) {
				t.Errorf("error %v", err)
			}
			if w.clients() != 0 {
				t.Error("a client was made")
			}
		})
	}
}

func TestWhatAStrangerNamesIsShortAndPrints(t *testing.T) {
	w := newWorld(t)
	k := w.inUse(value)
	c := w.register(value, func(md *oauth.ClientMetadata) {
		md.ClientName, md.SoftwareID = "evil\x1b[2J"+strings.Repeat("x", 1000), "id\r\nX: y"
		md.TokenEndpointAuthMethod, md.GrantTypes = "", []string{oauth.GrantClientCredentials, oauth.GrantRefreshToken}
	})
	if len(c.Name) > maxProgram || strings.ContainsAny(c.Name+c.SoftwareID, "\x1b\r\n") || len(c.Grants) != 1 {
		t.Errorf("%+v", c)
	}
	w.pass(time.Second)
	if c = w.register(value, func(md *oauth.ClientMetadata) { md.ClientName = " " }); c.Name != "upgrade of apikey ..."+k.Last4 {
		t.Errorf("without a name it is called %q", c.Name)
	}
}

// helpers of these tests

func (w *world) clients() int {
	w.Helper()
	list, _, err := w.db.Clients(w.ctx, client.Filter{Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	return len(list)
}

func (w *world) edit(id string, change func(*apikey.Key)) {
	w.Helper()
	if _, err := w.db.UpdateAPIKeys(w.ctx, []string{id}, func(k *apikey.Key) error { change(k); return nil }, audit.Event{Actor: "test", Action: "test"}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) move(id string, stage apikey.Stage) StageResult {
	w.Helper()
	res, err := w.SetStage(w.ctx, StageChange{Stage: stage, IDs: []string{id}, Actor: "test"})
	if err != nil {
		w.Fatal(err)
	}
	return res
}

func (w *world) moveAll(stage apikey.Stage) StageResult {
	w.Helper()
	res, err := w.SetStage(w.ctx, StageChange{Stage: stage, All: true, Actor: "test"})
	if err != nil {
		w.Fatal(err)
	}
	return res
}

func (w *world) imported(values ...string) {
	w.Helper()
	if _, err := w.importFile(importfile.File{Format: importfile.Lines}, strings.Join(values, "\n"), false); err != nil {
		w.Fatal(err)
	}
}

func TestAStoreThatFailsIsNoAnswerAboutTheAPIKey(t *testing.T) {
	w := newWorld(t)
	w.inUse(value)
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := w.Register(w.ctx, value, oauth.ClientMetadata{}, anAccess(), netip.Addr{})
	var failed *oauth.Error
	if !errors.As(err, &failed) || failed.Code != oauth.CodeServerError || strings.Contains(fmt.Sprint(failed.Description), "closed") {
		t.Errorf("error %v", err)
	}
}
