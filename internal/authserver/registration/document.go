package registration

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// maxDocumentURL bounds a client_id that is a URL, in bytes.
const maxDocumentURL = 256

// IsDocumentURL reports whether a client_id is the address of a document and
// not one of ours, which never has a colon.
func IsDocumentURL(id string) bool {
	return strings.HasPrefix(id, "https://") || strings.HasPrefix(id, "http://")
}

// CheckDocumentURL holds a client_id to the rules of
// draft-ietf-oauth-client-id-metadata-document: https, with a path, without dot
// segments, fragment or user. http to loopback is for test set-ups; whether it is
// fetched the guard of outbound fetches decides.
func CheckDocumentURL(id string) error {
	u, err := url.Parse(id)
	switch {
	case err != nil || u.Host == "" || len(id) > maxDocumentURL || !isPlain(id) || u.Scheme != "https" && !(u.Scheme == "http" && oauth.IsLoopback(u.Hostname())):
		return errors.New("client_id is not an https URL of up to 256 characters")
	case u.User != nil || strings.ContainsAny(id, "#@"):
		return errors.New("client_id has a user or a fragment")
	case u.Path == "":
		return errors.New("client_id has no path")
	}
	for segment := range strings.SplitSeq(u.Path, "/") { // decoded: %2e is a dot
		if segment == "." || segment == ".." {
			return errors.New("client_id has a dot segment")
		}
	}
	return nil
}

// secretMembers have no place in a document that everybody reads.
var secretMembers = []string{"client_secret", "client_secret_expires_at"}

// ReadDocument makes the client of the document at the URL that is its
// client_id. The document is written for every authorization server: grants
// that are not for us are passed over, promises that we do not keep are not.
func ReadDocument(id string, raw []byte, p Policy, now time.Time) (*client.Client, error) {
	md, err := oauth.ParseClientMetadata(raw)
	if err != nil {
		return nil, err
	}
	var says map[string]json.RawMessage
	if err := json.Unmarshal(raw, &says); err != nil {
		return nil, oauth.InvalidClientMetadata("the document is not a JSON object")
	}
	if err := checkDocument(id, says, &md, p); err != nil {
		return nil, err
	}
	if err := Check(&md, p); err != nil {
		return nil, err
	}
	c := &client.Client{ID: id, Status: client.Active, Source: client.SourceDocument}
	if err := Apply(md, c, time.Time{}); err != nil {
		return nil, err
	}
	for i, cr := range c.Credentials { // the same each time that it is read
		c.Credentials[i].ID = "jwk-" + cr.Key.Thumbprint()
	}
	if c.Name == id {
		c.Name = oauth.HostOf(id)
	}
	c.Scopes, err = oauth.ParseScope(md.Scope)
	return c, err
}

// checkDocument holds what is particular to documents.
func checkDocument(id string, says map[string]json.RawMessage, md *oauth.ClientMetadata, p Policy) error {
	var named string
	if json.Unmarshal(says["client_id"], &named) != nil || named != id { // octet by octet
		return oauth.InvalidClientMetadata("client_id in the document is not the URL that it was fetched from")
	}
	for _, name := range secretMembers {
		if _, there := says[name]; there {
			return oauth.InvalidClientMetadata(name + " has no place in a document that everybody reads")
		}
	}
	if md.TokenEndpointAuthMethod == "" {
		md.TokenEndpointAuthMethod = oauth.AuthNone
		if md.JWKS != nil || md.JWKSURI != "" {
			md.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT
		}
	}
	if len(md.GrantTypes) > 0 {
		md.GrantTypes = slices.DeleteFunc(md.GrantTypes, func(g string) bool { return !slices.Contains(p.Grants, g) })
		if !slices.Contains(md.GrantTypes, oauth.GrantAuthorizationCode) {
			return oauth.InvalidClientMetadata("grant_types of the document lacks authorization_code")
		}
	}
	if len(md.ResponseTypes) > 0 {
		md.ResponseTypes = slices.DeleteFunc(md.ResponseTypes, func(t string) bool { return t != "code" })
	}
	md.SoftwareStatement, md.SectorIdentifierURI = "", ""
	return nil
}

// DocumentPolicy is what a client may have that nobody registered: it acts for
// people alone, and proves itself by a key or not at all.
func DocumentPolicy() Policy {
	return Policy{
		Methods: []string{oauth.AuthNone, oauth.AuthPrivateKeyJWT}, Grants: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		RequestAlgs: jose.ClientAlgorithms, DPoP: true,
	}
}
