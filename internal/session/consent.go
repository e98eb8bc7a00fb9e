package session

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// Consent is what a person allowed a client, so that they are not asked again.
// It is remembered for each set of resources.
type Consent struct {
	PersonID  string
	ClientID  string
	Resources []string // sorted; empty: the default resource
	Scope     oauth.Scope
	// Fingerprint is of the client as the person saw it: one that has changed
	// is asked about again.
	Fingerprint secret.Hash
	At          time.Time
}

// Covers reports whether c answers for scope, asked by the client that has the
// fingerprint now.
func (c Consent) Covers(scope oauth.Scope, fingerprint secret.Hash) bool {
	return !c.Fingerprint.IsZero() && c.Fingerprint.Equal(fingerprint) && c.Scope.Covers(scope)
}

// resources are those that are asked for, as a Consent has them.
func (a Ask) resources() []string {
	return slices.Compact(slices.Sorted(slices.Values(a.Resources)))
}

// ConsentTo is the Consent of a person to what is asked.
func (a Ask) ConsentTo(personID string, c *client.Client, scope oauth.Scope, at time.Time) Consent {
	return Consent{
		PersonID: personID, ClientID: c.ID, Resources: a.resources(), Scope: scope, Fingerprint: FingerprintOf(c), At: at,
	}
}

// FingerprintOf is of what a person trusts in a client: its name, where answers
// go, and how it proves itself. Secrets that are replaced change nothing; keys
// do (draft-ietf-oauth-client-id-metadata-document).
func FingerprintOf(c *client.Client) secret.Hash {
	seen := struct {
		Name, Auth, JWKSURI, ClientURI string
		Redirects, Keys                []string
	}{Name: c.Name, Auth: c.AuthMethod, JWKSURI: c.JWKSURI, ClientURI: c.ClientURI, Redirects: slices.Sorted(slices.Values(c.RedirectURIs))}
	for _, cr := range c.Credentials {
		if cr.Kind == client.KindJWK && cr.Key != nil {
			seen.Keys = append(seen.Keys, cr.Key.Thumbprint())
		}
	}
	slices.Sort(seen.Keys)
	raw, err := json.Marshal(seen)
	if err != nil { // strings always encode
		return secret.Hash{}
	}
	return sha256.Sum256(raw)
}
