package api_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// jwks is the public half of a new key pair.
func jwks(t *testing.T) json.RawMessage {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (w *world) client(name, auth string, more ...any) document {
	w.t.Helper()
	body := map[string]any{"name": name, "auth": auth, "scopes": []string{"read:orders"}}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	return w.ask(201, "POST", "/clients", body)
}

func (w *world) stored(id string) *client.Client {
	w.t.Helper()
	c, err := w.db.Client(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestASecretIsToldOnceAndKeptAsAHash(t *testing.T) {
	w := newWorld(t)
	made := w.client("billing", "client_secret_basic", "owner", "Acme Ltd")
	value, id := made.text("client_secret"), made.text("client_id")
	if !secret.WellFormed(value) {
		t.Fatalf("the secret %q is not one of ours", value)
	}
	kept := w.stored(id)
	if len(kept.Credentials) != 1 || !kept.Credentials[0].Hash.Equal(secret.HashOf(value)) {
		t.Errorf("kept is %+v, want the hash of the secret", kept.Credentials)
	}
	if kept.Status != client.Active || kept.Source != client.SourceAPI || kept.Audience != client.Strict || kept.Owner != "Acme Ltd" || !kept.Allows(oauth.GrantClientCredentials) {
		t.Errorf("kept is %+v", kept)
	}
	entry, err := json.Marshal(w.audited("client.created"))
	if err != nil {
		t.Fatal(err)
	}
	for place, text := range map[string]string{"show": mustJSON(t, w.ask(200, "GET", "/clients/"+id, nil)), "the audit": string(entry)} {
		if strings.Contains(text, value) || strings.Contains(text, secret.HashOf(value).String()) {
			t.Errorf("%s has the secret or its hash", place)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAClientWithKeysHasNoSecret(t *testing.T) {
	w := newWorld(t)
	made := w.client("billing", "private_key_jwt", "jwks", jwks(t))
	if made.text("client_secret") != "" {
		t.Error("it has a secret too")
	}
	if c := made.list("credentials"); len(c) != 1 || c[0].text("kind") != "jwk" {
		t.Errorf("credentials are %v, want one jwk", c)
	}
	if keys := w.stored(made.text("client_id")).Keys(w.now()); len(keys.Keys) != 1 {
		t.Errorf("%d keys are kept, want 1", len(keys.Keys))
	}
	fetched := w.client("other", "private_key_jwt", "jwks_uri", "https://app.example.com/jwks.json")
	if len(fetched.list("credentials")) != 0 || fetched.text("jwks_uri") == "" {
		t.Errorf("a client whose keys are fetched is %v", fetched)
	}
}

func TestAClientThatCannotWorkIsNotMade(t *testing.T) {
	w := newWorld(t)
	w.client("taken", "client_secret_basic", "client_id", "taken")
	tests := []struct {
		name string
		body map[string]any
		says string
	}{
		{"no name", map[string]any{"auth": "client_secret_basic"}, "name is missing"},
		{"no method", map[string]any{"name": "x"}, "auth is missing"},
		{"a method that is not here", map[string]any{"name": "x", "auth": "client_secret_jwt"}, "private_key_jwt"},
		{"no method of proof", map[string]any{"name": "x", "auth": "none"}, "none"},
		{"keys beside a secret", map[string]any{"name": "x", "auth": "client_secret_post", "jwks": jwks(t)}, "no public keys"},
		{"no keys where they are needed", map[string]any{"name": "x", "auth": "private_key_jwt"}, "jwks_uri"},
		{"keys from two places", map[string]any{"name": "x", "auth": "private_key_jwt", "jwks": jwks(t), "jwks_uri": "https://a.example/jwks"}, "one of"},
		{"keys that are none", map[string]any{"name": "x", "auth": "private_key_jwt", "jwks": map[string]any{"keys": []any{}}}, "keygen"},
		{"keys over plain http", map[string]any{"name": "x", "auth": "private_key_jwt", "jwks_uri": "http://a.example/jwks"}, "https"},
		{"keys from an address with a password", map[string]any{"name": "x", "auth": "private_key_jwt", "jwks_uri": "https://u:p@a.example/jwks"}, "https"},
		{"a scope with a space", map[string]any{"name": "x", "auth": "client_secret_basic", "scopes": []string{"a b"}}, "scopes"},
		{"a scope with a quotation mark", map[string]any{"name": "x", "auth": "client_secret_basic", "scopes": []string{`a"b`}}, "scopes"},
		{"a default that it may not ask for", map[string]any{"name": "x", "auth": "client_secret_basic", "default_scopes": []string{"read:x"}}, "read:x"},
		{"a grant that is not here", map[string]any{"name": "x", "auth": "client_secret_basic", "grants": []string{"password"}}, "password"},
		{"an exchange without a client", map[string]any{"name": "x", "auth": "client_secret_basic", "grants": []string{oauth.GrantTokenExchange}}, "exchange.from"},
		{"an exchange without its grant", map[string]any{"name": "x", "auth": "client_secret_basic", "exchange": map[string]any{"from": []string{"front"}}}, "exchange.from"},
		{"an actor that is not known", map[string]any{"name": "x", "auth": "client_secret_basic", "grants": []string{oauth.GrantTokenExchange}, "exchange": map[string]any{"from": []string{"front"}, "act": "maybe"}}, "exchange.act"},
		{"an exchange for what is no URI", map[string]any{"name": "x", "auth": "client_secret_basic", "grants": []string{oauth.GrantTokenExchange}, "exchange": map[string]any{"from": []string{"front"}, "resources": []string{"api"}}}, "exchange.resources"},
		{"a resource that is no URI", map[string]any{"name": "x", "auth": "client_secret_basic", "resources": []string{"api"}}, "resources"},
		{"compat for a client without assertions", map[string]any{"name": "x", "auth": "client_secret_basic", "audience": "compat"}, "assertions"},
		{"an audience policy that is not known", map[string]any{"name": "x", "auth": "private_key_jwt", "jwks": jwks(t), "audience": "any"}, "strict or compat"},
		{"an algorithm that is not known", map[string]any{"name": "x", "auth": "private_key_jwt", "jwks": jwks(t), "signing_alg": "HS256"}, "HS256"},
		{"an id with a slash", map[string]any{"name": "x", "auth": "client_secret_basic", "client_id": "a/b"}, "client_id"},
		{"an id that looks like an apikey's", map[string]any{"name": "x", "auth": "client_secret_basic", "client_id": "ak_1"}, "ak_"},
		{"a name with a line break", map[string]any{"name": "x\ny", "auth": "client_secret_basic"}, "control character"},
		{"a name that turns the text around", map[string]any{"name": "x\u202ey", "auth": "client_secret_basic"}, "control character"},
		{"a name without end", map[string]any{"name": strings.Repeat("x", 201), "auth": "client_secret_basic"}, "200"},
	}
	for _, tt := range tests {
		w.run(t, tt.name, func(t *testing.T) {
			w.unchanged(func() { w.refused(400, "POST", "/clients", tt.body, tt.says) })
		})
	}
	w.run(t, "an id that is taken", func(t *testing.T) {
		w.refused(409, "POST", "/clients", map[string]any{"name": "x", "auth": "client_secret_basic", "client_id": "taken"}, "exists")
	})
}

func TestWhoseTokensAClientMayExchangeIsSetAndTakenBack(t *testing.T) {
	w := newWorld(t)
	id := w.client("orders", "client_secret_basic", "grants", []string{oauth.GrantTokenExchange}, "exchange", map[string]any{"from": []string{"front"}, "act": "required"}).text("client_id")
	d := w.ask(200, "PATCH", "/clients/"+id, map[string]any{"exchange": map[string]any{"from": []string{"front", "shop"}}})
	if got, _ := d["exchange"].(map[string]any); len(got["from"].([]any)) != 2 || got["act"] != nil {
		t.Errorf("exchange is %v", d["exchange"])
	}
	w.refused(400, "PATCH", "/clients/"+id, map[string]any{"exchange": map[string]any{}}, "exchange.from")
	d = w.ask(200, "PATCH", "/clients/"+id, map[string]any{"exchange": map[string]any{}, "grants": []string{oauth.GrantClientCredentials}})
	if d["exchange"] != nil {
		t.Errorf("exchange is %v", d["exchange"])
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.client("billing", "client_secret_basic").text("client_id")
	keyed := w.client("keyed", "private_key_jwt", "jwks", jwks(t)).text("client_id")
	before := mustJSON(t, w.ask(200, "GET", "/clients", nil))
	w.unchanged(func() {
		d := w.ask(200, "POST", "/clients?dry_run=true", map[string]any{"name": "x", "auth": "client_secret_basic"})
		if d.text("client_secret") != "" {
			t.Error("a dry run tells a secret")
		}
		if d := w.ask(200, "PATCH", "/clients/"+id+"?dry_run=true", map[string]any{"scopes": []string{"read:users"}}); d.texts("scopes")[0] != "read:users" || d["dry_run"] != true {
			t.Errorf("the dry run shows %v, want it as it would be", d)
		}
		if d := w.ask(200, "POST", "/clients/"+id+"/rotate?dry_run=true", nil); d.text("client_secret") != "" {
			t.Error("a dry run tells a secret")
		}
		w.ask(200, "POST", "/clients/"+keyed+"/keys?dry_run=true", map[string]any{"jwks": jwks(t), "overlap": "1h"})
		w.ask(200, "POST", "/clients/"+id+"/disable?dry_run=true", nil)
		w.ask(200, "DELETE", "/clients/"+id+"?dry_run=true", nil)
	})
	if after := mustJSON(t, w.ask(200, "GET", "/clients", nil)); after != before {
		t.Errorf("clients are now\n%s\nwant\n%s", after, before)
	}
}

func TestOnlyWhatIsGivenIsChanged(t *testing.T) {
	w := newWorld(t)
	id := w.client("billing", "client_secret_basic", "owner", "Acme Ltd", "default_scopes", []string{"read:orders"}).text("client_id")
	d := w.ask(200, "PATCH", "/clients/"+id, map[string]any{"scopes": []string{"read:orders", "read:users"}})
	if d.text("name") != "billing" || d.text("owner") != "Acme Ltd" || strings.Join(d.texts("default_scopes"), " ") != "read:orders" {
		t.Errorf("it is now %v", d)
	}
	w.audited("client.updated")
	w.refused(400, "PATCH", "/clients/"+id, map[string]any{}, "nothing")
	w.refused(400, "PATCH", "/clients/"+id, map[string]any{"scopes": []string{"read:users"}}, "default_scopes")
	w.refused(400, "PATCH", "/clients/"+id, map[string]any{"auth": "private_key_jwt"}, `"auth"`)
	w.refused(400, "PATCH", "/clients/"+id, map[string]any{"jwks_uri": "https://a.example/jwks"}, "no public keys")
}

func TestRotationLeavesTheOldSecretForAWhile(t *testing.T) {
	w := newWorld(t)
	made := w.client("billing", "client_secret_basic")
	id := made.text("client_id")
	d := w.ask(200, "POST", "/clients/"+id+"/rotate", map[string]string{"overlap": "2h"})
	live := func() (hashes []string) {
		for _, cr := range w.stored(id).Credentials {
			if cr.Live(w.now()) {
				hashes = append(hashes, cr.Hash.String())
			}
		}
		return hashes
	}
	hash := func(d document) string { return secret.HashOf(d.text("client_secret")).String() }
	if got, want := strings.Join(live(), " "), hash(made)+" "+hash(d); got != want {
		t.Errorf("live are %s, want both: %s", got, want)
	}
	w.pass(2 * time.Hour)
	if got := strings.Join(live(), " "); got != hash(d) {
		t.Errorf("after the overlap live is %s, want the new one alone", got)
	}
	at := w.ask(200, "POST", "/clients/"+id+"/rotate", map[string]string{"overlap": "0s"})
	if got := strings.Join(live(), " "); got != hash(at) {
		t.Errorf("without an overlap live is %s, want the new one alone", got)
	}
	w.refused(400, "POST", "/clients/"+id+"/rotate", map[string]string{"overlap": "soon"}, "soon")
	keyed := w.client("keyed", "private_key_jwt", "jwks", jwks(t)).text("client_id")
	w.refused(409, "POST", "/clients/"+keyed+"/rotate", nil, "--jwks-file")
}

func TestKeysAreAddedBesideTheOldOnes(t *testing.T) {
	w := newWorld(t)
	first := jwks(t)
	id := w.client("billing", "private_key_jwt", "jwks", first).text("client_id")
	w.refused(409, "POST", "/clients/"+id+"/keys", map[string]any{"jwks": first}, "thumbprint")
	w.ask(200, "POST", "/clients/"+id+"/keys", map[string]any{"jwks": jwks(t)})
	if n := len(w.stored(id).Keys(w.now()).Keys); n != 2 {
		t.Errorf("%d keys are live, want 2", n)
	}
	w.ask(200, "POST", "/clients/"+id+"/keys", map[string]any{"jwks": jwks(t), "overlap": "1h"})
	w.pass(time.Hour)
	if n := len(w.stored(id).Keys(w.now()).Keys); n != 1 {
		t.Errorf("%d keys are live after the overlap, want 1", n)
	}
	w.refused(400, "POST", "/clients/"+id+"/keys", map[string]any{}, "jwks is missing")
	w.refused(409, "POST", "/clients/"+w.client("s", "client_secret_basic").text("client_id")+"/keys", map[string]any{"jwks": jwks(t)}, "no public keys")
	w.refused(409, "POST", "/clients/"+w.client("u", "private_key_jwt", "jwks_uri", "https://a.example/jwks").text("client_id")+"/keys", map[string]any{"jwks": jwks(t)}, "https://a.example/jwks")
}

func TestCredentialsAreBoundedAndEndOneByOne(t *testing.T) {
	w := newWorld(t)
	made := w.client("billing", "client_secret_basic")
	id := made.text("client_id")
	for range 19 {
		w.ask(200, "POST", "/clients/"+id+"/rotate", map[string]string{"overlap": "9000h"})
	}
	w.refused(409, "POST", "/clients/"+id+"/rotate", map[string]string{"overlap": "9000h"}, "20 live")
	old := made.list("credentials")[0].text("id")
	if d := w.ask(200, "DELETE", "/clients/"+id+"/credentials/"+old, nil); len(d.list("credentials")) != 19 {
		t.Errorf("%d credentials are left, want 19", len(d.list("credentials")))
	}
	w.audited("client.credential_deleted")
	w.refused(404, "DELETE", "/clients/"+id+"/credentials/"+old, nil, "no credential")
}

func TestADisabledClientsTokensAreRefused(t *testing.T) {
	w := newWorld(t)
	id := w.client("billing", "client_secret_basic").text("client_id")
	revoked := func() bool {
		rows, err := w.db.Revocations(t.Context(), w.now())
		if err != nil {
			t.Fatal(err)
		}
		var r token.Revocations
		r.Add(rows...)
		return r.Revoked(token.Claims{ClientID: id, IssuedAt: w.now().Add(-time.Minute)})
	}
	if revoked() {
		t.Fatal("its tokens are refused before")
	}
	if d := w.ask(200, "POST", "/clients/"+id+"/disable", nil); d.text("status") != "disabled" || !revoked() {
		t.Errorf("it is %s, tokens refused: %v", d.text("status"), revoked())
	}
	if d := w.ask(200, "POST", "/clients/"+id+"/enable", nil); d.text("status") != "active" || !revoked() {
		t.Errorf("it is %s, earlier tokens refused: %v", d.text("status"), revoked())
	}
}

func TestADeletedClientIsGoneAndItsTokensRefused(t *testing.T) {
	w := newWorld(t)
	id := w.client("billing", "client_secret_basic").text("client_id")
	w.ask(200, "DELETE", "/clients/"+id, nil)
	w.audited("client.deleted")
	w.refused(404, "GET", "/clients/"+id, nil, "not_found")
	if rows, err := w.db.Revocations(t.Context(), w.now()); err != nil || len(rows) != 1 || rows[0].ID != id {
		t.Errorf("revocations are %v (%v)", rows, err)
	}
}

// pending makes a client that waits, as an upgrade does.
func (w *world) pending(status client.Status, waiting ...string) string {
	w.t.Helper()
	c := &client.Client{
		ID: client.NewID(), Name: "waiting", Status: status, AuthMethod: oauth.AuthPrivateKeyJWT, Audience: client.Strict,
		Grants: []string{oauth.GrantClientCredentials}, Scopes: oauth.Scope{"read:orders"}, PendingScopes: waiting, PendingReason: "first seen yesterday",
		Source: client.SourceUpgrade, Created: w.now(),
	}
	if err := w.db.CreateClient(w.t.Context(), c, audit.Event{Actor: "system", Action: "test"}); err != nil {
		w.t.Fatal(err)
	}
	return c.ID
}

func TestApprovalGrantsWhatWaits(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name   string
		status client.Status
		body   any
		scopes string
	}{
		{"all of it", client.Pending, nil, "read:orders create:orders delete:orders"},
		{"a part of it", client.Active, map[string]any{"scopes": []string{"create:orders"}}, "read:orders create:orders"},
		{"none of it", client.Pending, map[string]any{"scopes": []string{}}, "read:orders"},
	}
	for _, tt := range tests {
		w.run(t, tt.name, func(t *testing.T) {
			id := w.pending(tt.status, "create:orders", "delete:orders")
			w.unchanged(func() {
				if d := w.ask(200, "POST", "/clients/"+id+"/approve?dry_run=true", tt.body); strings.Join(d.texts("scopes"), " ") != tt.scopes {
					t.Errorf("the dry run shows %v, want %s", d.texts("scopes"), tt.scopes)
				}
			})
			d := w.ask(200, "POST", "/clients/"+id+"/approve", tt.body)
			if d.text("status") != "active" || strings.Join(d.texts("scopes"), " ") != tt.scopes || len(d.texts("pending_scopes")) != 0 || d.text("pending_reason") != "" {
				t.Errorf("it is now %v", d)
			}
			w.refused(409, "POST", "/clients/"+id+"/approve", nil, "not_pending")
		})
	}
	id := w.pending(client.Pending, "create:orders")
	w.refused(400, "POST", "/clients/"+id+"/approve", map[string]any{"scopes": []string{"admin:all"}}, "admin:all")
	w.refused(409, "POST", "/clients/"+id+"/enable", nil, "approve")
}

func TestAClientOfTheFileIsReadOnlyHere(t *testing.T) {
	w := newWorld(t)
	c := &client.Client{
		ID: "billing", Name: "billing", Status: client.Active, AuthMethod: oauth.AuthClientSecretBasic, Audience: client.Strict,
		Grants: []string{oauth.GrantClientCredentials}, Source: client.SourceFile, Created: w.now(),
	}
	if err := w.db.CreateClient(t.Context(), c, audit.Event{Actor: "system", Action: "test"}); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct{ method, path string }{
		{"PATCH", "/clients/billing"}, {"DELETE", "/clients/billing"}, {"POST", "/clients/billing/rotate"}, {"POST", "/clients/billing/disable"},
		{"DELETE", "/clients/billing/credentials/cr_1"}, {"DELETE", "/clients/billing?dry_run=true"},
	} {
		w.run(t, change.method+" "+change.path, func(t *testing.T) {
			w.unchanged(func() {
				var body any
				if change.method == "PATCH" {
					body = map[string]string{"name": "x"}
				}
				w.refused(409, change.method, change.path, body, "declared_in_file", "clients", "config reload")
			})
		})
	}
}

func TestAClientIsFoundByIdBeginningAndName(t *testing.T) {
	w := newWorld(t)
	a := w.client("billing", "client_secret_basic", "client_id", "svc-billing-1").text("client_id")
	w.client("twin", "client_secret_basic", "client_id", "svc-report-1")
	w.client("twin", "client_secret_basic", "client_id", "svc-report-2")
	for _, ref := range []string{a, "svc-b", "billing"} {
		if got := w.ask(200, "GET", "/clients/"+ref, nil).text("client_id"); got != a {
			t.Errorf("%s is %s, want %s", ref, got, a)
		}
	}
	w.refused(409, "GET", "/clients/svc-report", nil, "ambiguous", "svc-report-1")
	w.refused(409, "GET", "/clients/twin", nil, "ambiguous", "2 clients")
	w.refused(404, "GET", "/clients/svc", nil, "not_found") // a beginning of four characters at least
	w.refused(404, "GET", "/clients/a%2Fb", nil, "a/b")
}

func TestClientsAreChosenByOwnerAndStatus(t *testing.T) {
	w := newWorld(t)
	w.client("a", "client_secret_basic", "owner", "Acme Ltd")
	b := w.client("b", "client_secret_basic", "owner", "Globex").text("client_id")
	w.ask(200, "POST", "/clients/"+b+"/disable", nil)
	for query, want := range map[string]string{"owner=Acme+Ltd": "a", "owner=Globex": "b", "status=disabled": "b", "status=active": "a", "status=pending": "", "owner=Acme+Ltd&status=disabled": ""} {
		if got := strings.Join(column(w.ask(200, "GET", "/clients?"+query, nil).list("clients"), "name"), " "); got != want {
			t.Errorf("%s lists %q, want %q", query, got, want)
		}
	}
	w.refused(400, "GET", "/clients?status=gone", nil, "pending")
}

func TestAClientIsKnownByACertificateOrItsSubject(t *testing.T) {
	w := newWorld(t)
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	subject := map[string]any{"tls_client_auth_san_dns": "edge.example.com"}
	made := w.client("corp", "tls_client_auth", "tls", subject, "tls_client_certificate_bound_access_tokens", true, "profile", "fapi2")
	kept := w.stored(made.text("client_id"))
	if kept.TLS.DNS != "edge.example.com" || !kept.CertificateBound || kept.Profile != client.ProfileFAPI2 || len(kept.Credentials) != 0 {
		t.Errorf("%+v", kept)
	}
	w.ask(200, "PATCH", "/clients/"+kept.ID, map[string]any{"dpop_bound_access_tokens": true, "tls": map[string]any{"tls_client_auth_subject_dn": "CN=corp"}})
	if kept = w.stored(kept.ID); !kept.DPoPBound || kept.TLS.DN != "CN=corp" || kept.TLS.DNS != "" {
		t.Errorf("%+v", kept)
	}
	self := w.client("edge", "self_signed_tls_client_auth", "jwks", jwks(t))
	if kept := w.stored(self.text("client_id")); len(kept.Credentials) != 1 || kept.AuthMethod != oauth.AuthSelfSignedTLSClient {
		t.Errorf("%+v", kept)
	}
	for name, body := range map[string]map[string]any{
		"two subjects":         {"auth": "tls_client_auth", "tls": map[string]any{"tls_client_auth_san_dns": "a", "tls_client_auth_san_ip": "203.0.113.7"}},
		"no subject":           {"auth": "tls_client_auth"},
		"a subject of another": {"auth": "client_secret_basic", "tls": subject},
		"no certificate":       {"auth": "self_signed_tls_client_auth"},
		"a private key":        {"auth": "self_signed_tls_client_auth", "certificate": string(private)},
		"two keys":             {"auth": "self_signed_tls_client_auth", "certificate": "x", "jwks": jwks(t)},
		"of another method":    {"auth": "private_key_jwt", "certificate": "x"},
		"a secret under fapi2": {"auth": "client_secret_basic", "profile": "fapi2"},
		"an unknown profile":   {"auth": "client_secret_basic", "profile": "fapi9"},
	} {
		body["name"] = name
		w.ask(400, "POST", "/clients", body)
	}
}

func TestARouteAsksForMoreThanScopes(t *testing.T) {
	w := newWorld(t)
	a := w.ask(200, "PUT", "/routes", map[string]any{"match": "POST /v1/payments", "scopes": []string{"pay"}, "dpop": "required", "acr": []string{"urn:mfa"}, "max_age": 600})
	if a.text("dpop") != "required" {
		t.Errorf("%v", a)
	}
	for name, body := range map[string]map[string]any{
		"dpop is a word":    {"dpop": "yes"},
		"acr with a space":  {"acr": []string{"a b"}},
		"a negative age":    {"max_age": -1},
		"of an open route":  {"auth": "none", "dpop": "required"},
		"age of open route": {"auth": "none", "max_age": 60},
	} {
		body["match"] = "GET /v1/" + strings.ReplaceAll(name, " ", "-")
		w.ask(400, "PUT", "/routes", body)
	}
}
