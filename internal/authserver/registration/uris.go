package registration

import (
	"net/url"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// The bounds of URIs.
const (
	maxURIs = 50
	maxURI  = 2000 // bytes
)

// checkRedirects: each is one that answers may be sent to, and there is one
// where the code flow needs it (RFC 7591 §2).
func checkRedirects(md *oauth.ClientMetadata, _ Policy) error {
	if len(md.RedirectURIs) == 0 && slices.Contains(md.GrantTypes, oauth.GrantAuthorizationCode) {
		return oauth.InvalidRedirectURI("redirect_uris is missing, and authorization_code needs it")
	}
	if len(md.RedirectURIs) > maxURIs {
		return oauth.InvalidRedirectURI("redirect_uris has more than 50 entries")
	}
	for _, uri := range md.RedirectURIs {
		if why := badRedirect(uri, md.ApplicationType); why != "" {
			return oauth.InvalidRedirectURI("redirect_uris: " + why)
		}
	}
	for _, uri := range md.PostLogoutRedirectURIs {
		if why := badRedirect(uri, md.ApplicationType); why != "" {
			return oauth.InvalidClientMetadata("post_logout_redirect_uris: " + why)
		}
	}
	return nil
}

// badRedirect says why nothing may be sent to uri, "" if it may. Web clients
// have https alone; native ones also loopback, whatever the port, and a scheme
// of their own with a dot in it, as reverse domain names have (OIDC Registration
// §2, RFC 8252 §7, §8.4). That leaves javascript:, data: and the like out.
func badRedirect(uri, applicationType string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme == "" || len(uri) > maxURI || !isPlain(uri):
		return "one is not an absolute URI in ASCII of up to 2000 characters"
	case strings.Contains(uri, "#"): // RFC 6749 §3.1.2
		return "one has a fragment"
	case u.User != nil:
		return "one has a user in it"
	case u.Scheme == "https" && u.Host != "":
		return ""
	case isNative(uri) && applicationType == client.Native:
		return ""
	case isNative(uri):
		return "http and schemes of their own are for application_type native"
	}
	return "one is neither https, nor http to loopback, nor a private scheme with a dot in it, such as com.example.app:/callback"
}

// isNative reports whether uri leads to a program on the machine of a person.
func isNative(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	return u.Scheme == "http" && oauth.IsLoopback(u.Hostname()) || u.Scheme != "http" && u.Scheme != "https" && strings.Contains(u.Scheme, ".")
}

// isPlain reports whether two readers see the same in s.
func isPlain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r >= 0x7f || strings.ContainsRune(`"<>\^`+"`"+`{|}`, r) })
}

// maxRequestURIs bounds where the signed requests of one client are fetched.
const maxRequestURIs = 10

// checkOtherURIs: what people are shown and what is called back is https.
func checkOtherURIs(md *oauth.ClientMetadata, _ Policy) error {
	if len(md.PostLogoutRedirectURIs) > maxURIs {
		return oauth.InvalidClientMetadata("post_logout_redirect_uris has more than 50 entries")
	}
	if len(md.RequestURIs) > maxRequestURIs {
		return oauth.InvalidClientMetadata("request_uris has more than 10 entries")
	}
	for _, uri := range md.RequestURIs {
		where, _, _ := strings.Cut(uri, "#") // a hash of what is there (OIDC Core §6.2)
		if len(uri) > maxURI {
			return oauth.InvalidClientMetadata("request_uris has an entry that is too long")
		}
		if err := checkHTTPS("request_uris", where); err != nil {
			return err
		}
	}
	for _, m := range []struct{ name, uri string }{
		{"client_uri", md.ClientURI}, {"logo_uri", md.LogoURI}, {"policy_uri", md.PolicyURI}, {"tos_uri", md.TosURI},
		{"backchannel_logout_uri", md.BackchannelLogoutURI}, {"initiate_login_uri", md.InitiateLoginURI},
	} {
		if m.uri == "" {
			continue
		}
		if err := checkHTTPS(m.name, m.uri); err != nil {
			return err
		}
	}
	return nil
}

// checkHTTPS wants https, or http to loopback for test set-ups: whether that is
// ever fetched the guard of outbound fetches decides.
func checkHTTPS(name, uri string) error {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.User != nil || strings.Contains(uri, "#") || len(uri) > maxURI || !isPlain(uri) ||
		u.Scheme != "https" && !(u.Scheme == "http" && oauth.IsLoopback(u.Hostname())) {
		return oauth.InvalidClientMetadata(name + " must be an https URL without user or fragment")
	}
	return nil
}

// checkSector: a pairwise subject is made for one host: that of the redirect
// URIs, or the one that vouches for all of them (OIDC Core §8.1).
func checkSector(md *oauth.ClientMetadata, _ Policy) error {
	switch md.SubjectType {
	case "", client.SubjectPublic, client.SubjectPairwise:
	default:
		return oauth.InvalidClientMetadata("subject_type is public or pairwise")
	}
	if md.SectorIdentifierURI != "" {
		return checkHTTPS("sector_identifier_uri", md.SectorIdentifierURI)
	}
	if md.SubjectType == client.SubjectPairwise && len(hosts(md.RedirectURIs)) != 1 {
		return oauth.InvalidClientMetadata("subject_type pairwise with redirect URIs on several hosts, or on none, needs a sector_identifier_uri")
	}
	return nil
}

func hosts(uris []string) []string {
	var all []string
	for _, uri := range uris {
		if u, err := url.Parse(uri); err == nil {
			all = append(all, u.Hostname())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// CheckSectorDocument holds redirect URIs to the document at the
// sector_identifier_uri, a JSON array of strings: all of them must be in it
// (OIDC Registration §5).
func CheckSectorDocument(listed, redirects []string) error {
	for _, uri := range redirects {
		if !slices.Contains(listed, uri) {
			return oauth.InvalidClientMetadata("the document at sector_identifier_uri does not list every redirect URI: OpenID Connect Registration section 5")
		}
	}
	return nil
}
