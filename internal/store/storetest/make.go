package storetest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// aClient is a client with something in every field.
func aClient(id string) *client.Client {
	c := &client.Client{
		ID: id, Name: "Billing & co", Owner: "acme", Status: client.Active, AuthMethod: oauth.AuthPrivateKeyJWT, SigningAlg: jose.ES256,
		Audience: client.Compat, JWKSURI: "https://acme.example/jwks?a=b", Grants: []string{oauth.GrantClientCredentials, oauth.GrantTokenExchange},
		Scopes: oauth.Scope{"read:orders", "create:orders"}, DefaultScopes: oauth.Scope{"read:orders"}, PendingScopes: oauth.Scope{"delete:orders"},
		Resources: []string{"https://api.example.com", "https://b.example.com/v1"}, APIKeyID: "ak_7", SoftwareID: "billing", SoftwareVersion: "1.2",
		Source: client.SourceAPI, Created: noon, LastUsed: noon.Add(time.Hour),
		Credentials: []client.Credential{
			{ID: "cr_3", Kind: client.KindSecret, Hash: secret.HashOf("a secret"), Created: noon, Expires: noon.Add(time.Hour), LastUsed: noon},
			{ID: "cr_1", Kind: client.KindSecret, Hash: secret.HashOf("another"), Created: noon},
		},
	}
	age := int64(600)
	c.Details = client.Details{
		ApplicationType: client.Web, RedirectURIs: []string{"https://acme.example/cb?x=y"}, PKCEOptional: true, RequirePAR: true, RequestAlg: jose.PS256,
		Profile: client.ProfileFAPI2, DPoPBound: true, CertificateBound: true, TLS: client.TLSSubject{DN: "CN=acme,O=Acme"},
		IDTokenAlg: jose.ES256, SubjectType: client.SubjectPairwise, SectorIdentifier: "acme.example", DefaultMaxAge: &age,
		PostLogoutRedirectURIs: []string{"https://acme.example/bye"}, BackchannelLogoutURI: "https://acme.example/logout", BackchannelLogoutSession: true,
		Exchange:         client.Exchange{From: []string{"cl_front"}, Resources: []string{"https://b.example.com"}, Act: client.ActRequired},
		InitiateLoginURI: "https://acme.example/in", ClientURI: "https://acme.example", LogoURI: "https://acme.example/l.png",
		PolicyURI: "https://acme.example/p", TosURI: "https://acme.example/t", Contacts: []string{"ops@acme.example"},
		SectorIdentifierURI: "https://acme.example/sector", Quarantined: true,
	}
	for i, key := range publicKeys() {
		c.Credentials = append(c.Credentials, client.Credential{ID: fmt.Sprintf("cr_2%d", i), Kind: client.KindJWK, Key: &key, Created: noon})
	}
	return c
}

// plainClient is a client with as little as possible.
func plainClient(id string) *client.Client {
	return &client.Client{ID: id, Status: client.Active, AuthMethod: oauth.AuthClientSecretBasic, Audience: client.Strict, Source: client.SourceAPI, Created: noon}
}

// publicKeys are one of each type, with everything about them said and not.
var publicKeys = sync.OnceValue(func() []jose.PublicKey {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return []jose.PublicKey{{ID: "one", Alg: jose.ES256, Use: "sig", Key: ec.Public()}, {Key: ed}, {ID: "three", Key: rs.Public()}}
})

// shown is a client as it is compared: what JSON leaves out is added.
func shown(clients ...*client.Client) any {
	type credential struct {
		client.Credential
		Hash  secret.Hash
		Key   string
		Print string
	}
	type whole struct {
		client.Client
		Credentials []credential
	}
	all := []whole{}
	for _, c := range clients {
		w := whole{Client: *c}
		w.Client.Credentials = nil
		w.Created, w.LastUsed = kept(c.Created), kept(c.LastUsed)
		for _, cr := range c.Credentials {
			s := credential{Credential: cr, Hash: cr.Hash}
			s.Created, s.Expires, s.LastUsed = kept(cr.Created), kept(cr.Expires), kept(cr.LastUsed)
			if cr.Key != nil {
				s.Key, s.Print = fmt.Sprint(cr.Key.ID, "/", cr.Key.Alg, "/", cr.Key.Use), cr.Key.Thumbprint()
			}
			w.Credentials = append(w.Credentials, s)
		}
		all = append(all, w)
	}
	return all
}

// anAPIKey is an apikey with something in every field.
func anAPIKey(id string) *apikey.Key {
	return &apikey.Key{
		ID: id, Fingerprint: secret.HashOf(id), Last4: "9f3k", Label: "checkout", Owner: "acme", Contact: "ops@acme.example", KnownBy: apikey.KnownByImport,
		Stage: apikey.Warn, StageSince: noon, Until: noon.Add(time.Hour), Suspended: true, ClientID: "cl_7", Created: noon, Revoked: noon.Add(time.Minute),
		Prefix: "sk_live_", Cohort: "partners", Extension: apikey.Extension{Until: kept(noon.Add(time.Hour)), Granted: kept(noon), By: "os:0", Reason: "agreed", Taken: kept(noon)},
	}
}

// plainAPIKey is an apikey as it is learnt.
func plainAPIKey(id string) *apikey.Key {
	return &apikey.Key{ID: id, Fingerprint: secret.HashOf(id), Last4: "9f3k", KnownBy: apikey.KnownByUpstream, Created: noon}
}

// shownKeys are apikeys as they are compared: with their fingerprints.
func shownKeys(keys ...*apikey.Key) any {
	type whole struct {
		apikey.Key
		Fingerprint secret.Hash
	}
	all := []whole{}
	for _, k := range keys {
		w := whole{*k, k.Fingerprint}
		w.StageSince, w.Until, w.Created, w.Revoked = kept(k.StageSince), kept(k.Until), kept(k.Created), kept(k.Revoked)
		all = append(all, w)
	}
	return all
}

// haveAPIKeys learns apikeys.
func (b *trial) haveAPIKeys(ids ...string) {
	b.t.Helper()
	for _, id := range ids {
		_, err := b.LearnAPIKey(b.ctx(), plainAPIKey(id), did("apikey.learnt"))
		b.ok(err)
	}
}

// haveClients creates clients.
func (b *trial) haveClients(clients ...*client.Client) {
	b.t.Helper()
	for _, c := range clients {
		b.ok(b.CreateClient(b.ctx(), c, did("client.created")))
	}
}

// revoked are the live revocations as "kind:id".
func (b *trial) revoked() []string {
	b.t.Helper()
	list, err := b.Revocations(b.ctx(), b.clock.now())
	b.ok(err)
	names := []string{}
	for _, r := range list {
		names = append(names, r.Kind+":"+r.ID)
	}
	return names
}
