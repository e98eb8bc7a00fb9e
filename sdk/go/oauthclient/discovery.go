package oauthclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/oauth"
)

// metadata is what is read of an issuer's document (RFC 8414 §2).
type metadata struct {
	Issuer               string `json:"issuer"`
	TokenEndpoint        string `json:"token_endpoint"`
	RegistrationEndpoint string `json:"registration_endpoint"`
	DeviceEndpoint       string `json:"device_authorization_endpoint"` // RFC 8628 §4
	RevocationEndpoint   string `json:"revocation_endpoint"`
	UserinfoEndpoint     string `json:"userinfo_endpoint"`
	// Aliases are where a certificate is asked for (RFC 8705 §5).
	Aliases struct {
		TokenEndpoint string `json:"token_endpoint"`
	} `json:"mtls_endpoint_aliases"`
}

// protectedResource is what is read of an API's document (RFC 9728 §2).
type protectedResource struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
}

// finder makes the look-ups that precede a token or a registration.
type finder struct {
	client *http.Client
	now    func() time.Time
}

// tokenEndpoint is TokenURL, or what the issuer's metadata says; that is asked
// for once.
func (c *Config) tokenEndpoint(ctx context.Context) (string, error) {
	if c.TokenURL != "" {
		return c.TokenURL, nil
	}
	c.mu.Lock()
	known := c.discovered
	c.mu.Unlock()
	if known != "" {
		return known, nil
	}
	found, err := finder{c.client(), c.now}.issuer(ctx, c.Issuer)
	if err != nil {
		return "", err
	}
	endpoint := found.TokenEndpoint
	if alias := found.Aliases.TokenEndpoint; alias != "" && c.hasCertificate() {
		if err := requireSecureURL("token endpoint", alias); err != nil {
			return "", err
		}
		endpoint = alias
	}
	c.mu.Lock()
	c.discovered = endpoint
	c.mu.Unlock()
	return endpoint, nil
}

// Discover finds the issuer's token endpoint in its metadata.
func (c *Config) Discover(ctx context.Context) (tokenURL string, err error) {
	return c.tokenEndpoint(ctx)
}

// issuerMetadataURLs are the places to look for an issuer's metadata, in order:
// OAuth's own, which goes before the issuer's path (RFC 8414 §3.1), then
// OpenID Connect's, which goes after it (RFC 8414 §5).
func issuerMetadataURLs(issuer string) []string {
	urls := []string{oauth.WellKnownURL(issuer, oauth.SuffixAuthorizationServer), oauth.OpenIDConfigurationURL(issuer)}
	if between := oauth.WellKnownURL(issuer, oauth.SuffixOpenIDConfiguration); between != urls[1] {
		urls = append(urls, between)
	}
	return urls
}

// issuer reads and checks the metadata of an authorization server.
func (f finder) issuer(ctx context.Context, issuer string) (*metadata, error) {
	doing := "find the token endpoint of " + printable(issuer)
	if err := requireSecureURL("issuer", issuer); err != nil {
		return nil, err
	}
	if strings.Contains(issuer, "?") {
		return nil, &Error{Doing: doing, Code: "bad_config", Message: "an issuer has no query (RFC 8414 §2)", Fix: "give the issuer exactly as its metadata states it"}
	}
	var found metadata
	if err := f.firstDocument(ctx, doing, issuerMetadataURLs(issuer), &found); err != nil {
		return nil, err
	}
	if err := checkIssuer(found, issuer); err != nil {
		return nil, err
	}
	if found.TokenEndpoint == "" {
		return nil, &Error{Doing: doing, Code: "bad_metadata", Message: "its metadata names no token_endpoint", Fix: "give the token endpoint yourself"}
	}
	if err := requireSecureURL("token endpoint", found.TokenEndpoint); err != nil {
		return nil, err
	}
	return &found, nil
}

// checkIssuer holds the metadata to the issuer that it was asked of; otherwise
// one server could answer in the name of another (RFC 8414 §3.3).
func checkIssuer(found metadata, asked string) error {
	if found.Issuer == asked {
		return nil
	}
	fix := "check the URL: this is another server's metadata"
	if strings.TrimSuffix(found.Issuer, "/") == strings.TrimSuffix(asked, "/") {
		fix = fmt.Sprintf("write the issuer as %q: the slash at the end counts", printable(found.Issuer))
	}
	return &Error{Doing: "check the issuer", Code: "bad_metadata", Fix: fix,
		Message: fmt.Sprintf("asked of %q, the metadata says it is of %q (RFC 8414 §3.3)", printable(asked), printable(found.Issuer))}
}

// firstDocument reads the first of the URLs that answers with JSON. A place
// with nothing there, or with a web page, is passed over; a server that fails
// is not: what it would have said is not known.
func (f finder) firstDocument(ctx context.Context, doing string, urls []string, into any) error {
	for _, u := range urls {
		a, err := f.get(ctx, doing, u)
		if err != nil {
			return err
		}
		switch {
		case a.status == http.StatusOK && json.Unmarshal(a.body, into) == nil:
			return nil
		case a.status >= 500 || a.status == http.StatusTooManyRequests:
			return &Error{Doing: doing, Code: "unreachable", Status: a.status, RetryAfter: retryAfter(a.header, f.now()),
				Message: fmt.Sprintf("%s answered %d", u, a.status), Fix: "try again later"}
		}
	}
	return &Error{Doing: doing, Code: "bad_metadata",
		Message: "no metadata at " + strings.Join(urls, " nor at "),
		Fix:     "check the URL"}
}

func (f finder) get(ctx context.Context, doing, u string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, &Error{Doing: doing, Code: "bad_config", Message: fmt.Sprintf("%q is not a URL", printable(u))}
	}
	return send(ctx, f.client, f.now, doing, req)
}

// resourceMetadataURLs are the places to look for an API's metadata: the
// well-known path goes before the API's own path (RFC 9728 §3.1). The second,
// for an API named with a path of a larger whole, is the origin's.
func resourceMetadataURLs(api *url.URL) []string {
	base := api.Scheme + "://" + api.Host
	whole := oauth.WellKnownURL(base, oauth.SuffixProtectedResource)
	if path := strings.TrimSuffix(api.EscapedPath(), "/"); path != "" {
		return []string{oauth.WellKnownURL(base+path, oauth.SuffixProtectedResource), whole}
	}
	return []string{whole}
}

// api finds out what an API is called and who issues tokens for it: from its
// well-known document, or from the one that its 401 points to (RFC 9728 §5.1).
func (f finder) api(ctx context.Context, raw string) (*protectedResource, error) {
	doing := "find the issuer of " + printable(raw)
	if err := requireSecureURL("API", raw); err != nil {
		return nil, err
	}
	api, err := url.Parse(raw)
	if err != nil {
		return nil, err
	}
	var found protectedResource
	err = f.firstDocument(ctx, doing, resourceMetadataURLs(api), &found)
	if missing(err) {
		if pointed := f.challengedMetadata(ctx, doing, api); pointed != "" {
			err = f.firstDocument(ctx, doing, []string{pointed}, &found)
		}
	}
	if missing(err) {
		return nil, &Error{Doing: doing, Code: "bad_metadata", Fix: "check the API's URL, or give the issuer yourself",
			Message: fmt.Sprintf("%s does not say who issues its tokens (RFC 9728 §3)", origin(api))}
	}
	if err != nil {
		return nil, err
	}
	if err := checkResource(found.Resource, api); err != nil {
		return nil, err
	}
	if len(found.AuthorizationServers) == 0 {
		return nil, &Error{Doing: doing, Code: "bad_metadata", Message: "the API's metadata names no authorization server", Fix: "give the issuer yourself"}
	}
	return &found, nil
}

// missing tells "there is no such document" from other failures.
func missing(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Code == "bad_metadata"
}

// challengedMetadata asks the API without any credential and returns the
// resource_metadata of its 401, if that is on the API's own origin.
func (f finder) challengedMetadata(ctx context.Context, doing string, api *url.URL) string {
	a, err := f.get(ctx, doing, api.String())
	if err != nil || a.status != http.StatusUnauthorized {
		return ""
	}
	for _, challenge := range parseChallenges(a.header.Values("WWW-Authenticate")) {
		u, err := url.Parse(challenge.params["resource_metadata"])
		if err == nil && u.Host != "" && origin(u) == origin(api) {
			return u.String()
		}
	}
	return ""
}

// checkResource holds an API's metadata to the API that it was asked of: the
// same place, or a part of it that contains the URL given (RFC 9728 §3.3).
// Otherwise one API could ask for tokens meant for another.
func checkResource(resource string, api *url.URL) error {
	bad := &Error{Doing: "check the API's metadata", Code: "bad_metadata",
		Message: fmt.Sprintf("asked of %s, the metadata is of resource %q (RFC 9728 §3.3)", api, printable(resource)),
		Fix:     "use the API's public URL, as its resource names it, if that is the same API"}
	u, err := url.Parse(resource)
	if err != nil || u.Host == "" || u.Fragment != "" || origin(u) != origin(api) {
		return bad
	}
	within := func(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }
	whole, part := within(api.EscapedPath()), within(u.EscapedPath())
	if len(part) == 1 && part[0] == "" {
		return nil
	}
	if len(part) > len(whole) || !slices.Equal(whole[:len(part)], part) {
		return bad
	}
	return nil
}
