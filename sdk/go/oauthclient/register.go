package oauthclient

import (
	"bytes"
	"cmp"
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

// RegisterRequest asks an issuer to make a client out of an apikey: dynamic
// registration (RFC 7591 §3.1) with the apikey as the initial access token.
type RegisterRequest struct {
	// API is the URL of the API that the apikey opens; its metadata
	// (RFC 9728 §3) names the issuer. It may be left out if Issuer is given.
	API string
	// Issuer, if it is known, is not looked for.
	Issuer string
	// APIKey proves that the program is a caller of the API. It is sent once,
	// to the issuer, in the Authorization header.
	APIKey Secret
	// Name is shown to the API's operator.
	Name string
	// PublicJWKS is the public half of the program's key pair, as a JWK set
	// (RFC 7517 §5).
	PublicJWKS json.RawMessage
	// Algorithm is what the program will sign its assertions with.
	Algorithm string
	// SoftwareID and SoftwareVersion say which program it is (RFC 7591 §2).
	SoftwareID, SoftwareVersion string
	// Scopes, if any are asked for; else the issuer gives those that the apikey
	// was seen to use.
	Scopes []string

	// HTTPClient and Now are as in Config.
	HTTPClient *http.Client
	Now        func() time.Time
}

// Registration is the client that the issuer has made.
type Registration struct {
	ClientID string
	Name     string
	Issuer   string
	TokenURL string
	// Resource is what the API calls itself; empty if no API was given.
	Resource string
	Scopes   []string
	IssuedAt time.Time
	// Pending says that the client gets no token before the API's operator has
	// approved it; PendingScopes wait for approval while Scopes can be used.
	// Reason is what the issuer says about it.
	Pending       bool
	PendingScopes []string
	Reason        string
	// ManageURL is where the client reads, changes and deletes its registration,
	// with AccessToken as the bearer token (RFC 7592 §2). Both are empty where the
	// issuer offers that not, and for a client that was registered before.
	ManageURL   string
	AccessToken Secret
}

// Issuer is where a registration would go, and for which API.
type Issuer struct {
	Issuer          string
	TokenURL        string
	RegistrationURL string
	Resource        string
}

// FindIssuer finds the issuer that makes clients for an API, sending no
// credential to anyone.
func (r RegisterRequest) FindIssuer(ctx context.Context) (*Issuer, error) {
	f := finder{r.HTTPClient, r.Now}
	if f.now == nil {
		f.now = time.Now
	}
	candidates, resource := []string{r.Issuer}, ""
	if r.API != "" {
		found, err := f.api(ctx, r.API)
		if err != nil {
			return nil, err
		}
		resource = found.Resource
		if r.Issuer != "" && !slices.Contains(found.AuthorizationServers, r.Issuer) {
			return nil, &Error{Doing: "find the issuer of " + printable(r.API), Code: "bad_metadata",
				Message: fmt.Sprintf("the API does not name %q among its issuers", printable(r.Issuer)), Fix: "leave the issuer out, or check it"}
		}
		if r.Issuer == "" {
			candidates = found.AuthorizationServers
		}
	}
	return f.registrar(ctx, r.API, resource, candidates)
}

// registrarLimit bounds how many authorization servers of an API are tried.
const registrarLimit = 5

// registrar is the first of the issuers that registers clients.
func (f finder) registrar(ctx context.Context, api, resource string, issuers []string) (*Issuer, error) {
	var problem error
	for _, issuer := range issuers[:min(len(issuers), registrarLimit)] {
		if err := checkHandover(api, issuer); err != nil {
			return nil, err
		}
		found, err := f.issuer(ctx, issuer)
		if err == nil && found.RegistrationEndpoint == "" {
			err = &Error{Doing: "register at " + printable(issuer), Code: "not_supported",
				Message: "the issuer takes no registrations (its metadata has no registration_endpoint)",
				Fix:     "ask the API's operator for a client, then use --issuer, --client and --keyfile"}
		}
		if err == nil {
			err = checkHandover(api, found.RegistrationEndpoint)
		}
		if err == nil {
			return &Issuer{Issuer: found.Issuer, TokenURL: found.TokenEndpoint, RegistrationURL: found.RegistrationEndpoint, Resource: resource}, nil
		}
		if problem == nil {
			problem = err
		}
	}
	return nil, problem
}

// checkHandover refuses to hand an apikey to a place that is less protected
// than the API itself: in the clear, or a port of this machine that an API
// elsewhere names.
func checkHandover(api, to string) error {
	if err := requireSecureURL("issuer", to); err != nil {
		return err
	}
	from, err := url.Parse(api)
	if api == "" || err != nil || oauth.IsLoopback(from.Hostname()) {
		return err
	}
	if u, err := url.Parse(to); err != nil || oauth.IsLoopback(u.Hostname()) {
		return &Error{Doing: "use the issuer", Code: "insecure_url",
			Message: fmt.Sprintf("%s says that its issuer is %s, on this machine", origin(from), printable(to)), Fix: "check the API's URL; its operator has to set the issuer's public URL"}
	}
	return nil
}

// Register makes the client. The apikey goes into the Authorization header of
// one request and nowhere else. If a person has to approve it first, the issuer
// may have made a client that waits (Registration.Pending) or none yet, which is
// a *[PendingError]: the same request succeeds after the approval.
func Register(ctx context.Context, r RegisterRequest) (*Registration, error) {
	if r.Now == nil {
		r.Now = time.Now
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	issuer, err := r.FindIssuer(ctx)
	if err != nil {
		return nil, err
	}
	doing := "register at " + issuer.RegistrationURL
	body, err := json.Marshal(oauth.ClientMetadata{
		ClientName: r.Name, JWKS: r.PublicJWKS, Scope: strings.Join(r.Scopes, " "),
		TokenEndpointAuthMethod: oauth.AuthPrivateKeyJWT, TokenEndpointAuthSigningAlg: cmp.Or(r.Algorithm, "ES256"),
		GrantTypes: []string{oauth.GrantClientCredentials},
		SoftwareID: r.SoftwareID, SoftwareVersion: r.SoftwareVersion,
	})
	if err != nil {
		return nil, &Error{Doing: doing, Code: "bad_config", Message: "PublicJWKS is not JSON"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, issuer.RegistrationURL, bytes.NewReader(body))
	if err != nil {
		return nil, &Error{Doing: doing, Code: "bad_metadata", Message: "the registration endpoint is not a URL"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+string(r.APIKey))
	a, err := send(ctx, r.HTTPClient, r.Now, doing, req)
	if err != nil {
		return nil, err
	}
	if err := a.redirected(doing, req.URL); err != nil {
		return nil, err
	}
	if a.status != http.StatusCreated && a.status != http.StatusOK {
		return nil, registrationRefusal(doing, a)
	}
	return readRegistration(doing, a, r, issuer)
}

// check finds what is missing before anything is sent.
func (r RegisterRequest) check() error {
	bad := func(message, fix string) error {
		return &Error{Doing: "register", Code: "bad_config", Message: message, Fix: fix}
	}
	switch {
	case r.API == "" && r.Issuer == "":
		return bad("neither an API nor an issuer is given", "give the API's URL")
	case r.APIKey == "":
		return bad("no apikey is given", "give the apikey that opens the API")
	case strings.ContainsFunc(string(r.APIKey), func(c rune) bool { return c <= 0x20 || c > 0x7e }):
		return bad("the apikey holds spaces, line ends or characters that cannot be sent in a header", "give the apikey alone, as it is sent to the API")
	case !json.Valid(r.PublicJWKS):
		return bad("no public key set is given", `give a JWK set: {"keys":[…]}`)
	}
	return checkPublicOnly(r.PublicJWKS)
}

// checkPublicOnly stops a private key from leaving the machine by mistake.
func checkPublicOnly(jwks []byte) error {
	var set struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil || len(set.Keys) == 0 {
		return &Error{Doing: "register", Code: "bad_config", Message: "the public key set holds no key", Fix: `give a JWK set: {"keys":[…]}`}
	}
	for _, key := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
			if _, there := key[private]; there {
				return &Error{Doing: "register", Code: "bad_key", Message: "the key set holds a private key; it was not sent", Fix: "give the public half only"}
			}
		}
	}
	return nil
}

// registrationRefusal tells "not yet" from "no".
func registrationRefusal(doing string, a *answer) error {
	e := readRefusal(doing, a)
	e.RetryAfter = retryAfter(a.header, a.received)
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.body, &problem)
	if a.status == http.StatusAccepted || problem.Code == "upgrade_needs_approval" || e.Code == "upgrade_needs_approval" {
		return &PendingError{Message: e.Message, Fix: e.Fix}
	}
	if problem.Code != "" {
		e.Code = printable(problem.Code) // more exact than RFC 7591's few
	}
	if e.Fix != "" {
		return e
	}
	switch {
	case a.status == http.StatusUnauthorized:
		e.Fix = "check the apikey: call the API with it once, then try again within ten minutes"
	case a.status == http.StatusForbidden:
		e.Fix = "ask the API's operator"
	case e.RetryAfter > 0:
		e.Fix = fmt.Sprintf("try again in %s", e.RetryAfter)
	case a.status >= 500 || a.status == http.StatusTooManyRequests:
		e.Fix = "try again later"
	}
	return e
}

// readRegistration reads the client information (RFC 7591 §3.2.1). The members
// that start with offkey_ are offkey's own.
func readRegistration(doing string, a *answer, r RegisterRequest, issuer *Issuer) (*Registration, error) {
	bad := func(message string) error {
		return &Error{Doing: doing, Code: "bad_response", Status: a.status, Message: message, Fix: "tell the API's operator"}
	}
	var body struct {
		ClientID     string     `json:"client_id"`
		Name         string     `json:"client_name"`
		Scope        string     `json:"scope"`
		IssuedAt     int64      `json:"client_id_issued_at"`
		AuthMethod   AuthMethod `json:"token_endpoint_auth_method"`
		Status       string     `json:"offkey_status"`
		Reason       string     `json:"offkey_reason"`
		PendingScope string     `json:"offkey_pending_scope"`
		ManageURL    string     `json:"registration_client_uri"`
		AccessToken  Secret     `json:"registration_access_token"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return nil, bad("the answer is not the JSON of a registration")
	}
	const longest = 255
	switch {
	case !isVisible(body.ClientID) || len(body.ClientID) > longest:
		return nil, bad("the answer holds no usable client_id")
	case body.AuthMethod != "" && body.AuthMethod != PrivateKeyJWT:
		return nil, bad(fmt.Sprintf("private_key_jwt was asked for and %q registered", printable(string(body.AuthMethod))))
	}
	scopes, pending := strings.Fields(body.Scope), strings.Fields(body.PendingScope)
	for _, scope := range slices.Concat(scopes, pending) {
		if !oauth.IsScopeName(scope) {
			return nil, bad(fmt.Sprintf("the answer holds the unusable scope %q", printable(scope)))
		}
	}
	issued := r.Now()
	if body.IssuedAt > 0 {
		issued = time.Unix(body.IssuedAt, 0)
	}
	if requireSecureURL("registration_client_uri", body.ManageURL) != nil || !isVisible(string(body.AccessToken)) {
		body.ManageURL, body.AccessToken = "", ""
	}
	return &Registration{
		ClientID: body.ClientID, Name: printable(cmp.Or(body.Name, r.Name)), Issuer: issuer.Issuer, TokenURL: issuer.TokenURL,
		Resource: issuer.Resource, Scopes: scopes, IssuedAt: issued.UTC(),
		Pending: body.Status == "pending", PendingScopes: pending, Reason: printable(body.Reason),
		ManageURL: body.ManageURL, AccessToken: body.AccessToken,
	}, nil
}
