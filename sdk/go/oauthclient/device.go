package oauthclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/offkey/offkey/internal/oauth"
)

// DevicePrompt is what a person is shown, to let a program act for them from
// some other device (RFC 8628 §3.2).
type DevicePrompt struct {
	UserCode string
	// URL is the page where the code is typed; CompleteURL has it filled in, for
	// a QR code, and may be empty.
	URL, CompleteURL string
	Expires          time.Time

	code     string
	interval time.Duration
}

// The bounds of how often a program asks whether its person has answered.
const (
	pollInterval = 5 * time.Second // RFC 8628 §3.2
	pollSlower   = 5 * time.Second // RFC 8628 §3.5
	pollSlowest  = time.Minute
	pollFastest  = 10 * time.Millisecond
	promptLife   = 30 * time.Minute
)

// StartDevice begins a sign-in of a person (RFC 8628 §3.1). Show them the
// prompt, then WaitDevice.
func (c *Config) StartDevice(ctx context.Context) (*DevicePrompt, error) {
	found, err := c.issuer(ctx)
	if err != nil {
		return nil, err
	}
	doing := "begin a sign-in at " + printable(c.Issuer)
	if found.DeviceEndpoint == "" {
		return nil, &Error{Doing: doing, Code: "not_supported", Message: "the issuer has no device flow (RFC 8628)", Fix: "use another issuer, or a client of its own for the program"}
	}
	form := url.Values{}
	c.ask(form)
	asked := c.now()
	a, err := c.submit(ctx, found.DeviceEndpoint, form, doing)
	if err != nil {
		return nil, err
	}
	var body struct {
		DeviceCode  string  `json:"device_code"`
		UserCode    string  `json:"user_code"`
		URL         string  `json:"verification_uri"`
		CompleteURL string  `json:"verification_uri_complete"`
		ExpiresIn   float64 `json:"expires_in"`
		Interval    float64 `json:"interval"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.DeviceCode == "" || body.UserCode == "" || body.ExpiresIn <= 0 {
		return nil, &Error{Doing: doing, Code: "bad_response", Status: a.status, Message: "the answer is not the JSON of a device authorization response (RFC 8628 §3.2)"}
	}
	for _, page := range []string{body.URL, cmp.Or(body.CompleteURL, body.URL)} {
		if err := requireSecureURL("verification page", page); err != nil {
			return nil, err
		}
	}
	seconds := func(n float64, most time.Duration) time.Duration {
		return min(time.Duration(n*float64(time.Second)), most)
	}
	return &DevicePrompt{
		UserCode: printable(body.UserCode), URL: printable(body.URL), CompleteURL: printable(body.CompleteURL), code: body.DeviceCode,
		Expires: asked.Add(seconds(body.ExpiresIn, promptLife)), interval: max(cmp.Or(seconds(body.Interval, pollSlowest), pollInterval), pollFastest),
	}, nil
}

// WaitDevice asks the issuer until the person has answered, or may not any more
// (RFC 8628 §3.4). An answer that does not come is asked for again, less often.
func (c *Config) WaitDevice(ctx context.Context, prompt *DevicePrompt) (*oauth2.Token, error) {
	endpoint, err := c.tokenEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	const doing = "wait for the sign-in"
	interval := prompt.interval
	for {
		if err := pause(ctx, interval); err != nil {
			return nil, err
		}
		if !c.now().Before(prompt.Expires) {
			return nil, &Error{Doing: doing, Code: "expired_token", Message: "nobody has answered in time", Fix: "start again"}
		}
		token, err := c.post(ctx, endpoint, url.Values{"grant_type": {oauth.GrantDeviceCode}, "device_code": {prompt.code}}, doing)
		if err == nil {
			return token, nil
		}
		var e *Error
		switch {
		case !errors.As(err, &e):
			return nil, err
		case e.Code == "authorization_pending":
		case e.Code == "slow_down":
			interval = min(interval+pollSlower, pollSlowest)
		case e.Code == "unreachable":
			interval = min(2*interval, pollSlowest)
		default:
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refresh trades a refresh token for another access token (RFC 6749 §6). Keep
// the RefreshToken of the answer in place of the old one, which may be of no
// use any more.
func (c *Config) Refresh(ctx context.Context, refreshToken Secret) (*oauth2.Token, error) {
	endpoint, err := c.tokenEndpoint(ctx)
	if err != nil {
		return nil, err
	}
	form := url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {string(refreshToken)}}
	c.ask(form)
	token, err := c.post(ctx, endpoint, form, "renew the sign-in at "+printable(endpoint))
	if err == nil && token.RefreshToken == "" {
		token.RefreshToken = string(refreshToken)
	}
	return token, err
}

// RevokeToken has the issuer forget a token (RFC 7009 §2). A refresh token takes
// what came of it along.
func (c *Config) RevokeToken(ctx context.Context, token Secret) error {
	found, err := c.issuer(ctx)
	if err != nil {
		return err
	}
	doing := "sign out at " + printable(c.Issuer)
	if found.RevocationEndpoint == "" {
		return &Error{Doing: doing, Code: "not_supported", Message: "the issuer revokes no tokens (RFC 7009)"}
	}
	if err := requireSecureURL("revocation endpoint", found.RevocationEndpoint); err != nil {
		return err
	}
	_, err = c.submit(ctx, found.RevocationEndpoint, url.Values{"token": {string(token)}}, doing)
	return err
}

// Userinfo asks the issuer who a token acts for (OIDC Core §5.3).
func (c *Config) Userinfo(ctx context.Context, accessToken Secret) (map[string]any, error) {
	found, err := c.issuer(ctx)
	if err != nil {
		return nil, err
	}
	doing := "ask who is signed in"
	if found.UserinfoEndpoint == "" {
		return nil, &Error{Doing: doing, Code: "not_supported", Message: "the issuer has no userinfo endpoint (OIDC Core §5.3)"}
	}
	if err := requireSecureURL("userinfo endpoint", found.UserinfoEndpoint); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, found.UserinfoEndpoint, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", oauth.TokenTypeBearer+" "+string(accessToken))
	if c.usesDPoP() {
		proof, err := c.Proof(http.MethodGet, found.UserinfoEndpoint, string(accessToken))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", oauth.TokenTypeDPoP+" "+string(accessToken))
		req.Header.Set("DPoP", proof)
	}
	a, err := send(ctx, c.client(), c.now, doing, req)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, readRefusal(doing, a)
	}
	var claims map[string]any
	if err := json.Unmarshal(a.body, &claims); err != nil {
		return nil, &Error{Doing: doing, Code: "bad_response", Status: a.status, Message: "the answer is no JSON object"}
	}
	return claims, nil
}

// issuer is the metadata of the issuer.
func (c *Config) issuer(ctx context.Context) (*metadata, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	found, err := finder{c.client(), c.now}.issuer(ctx, c.Issuer)
	if err == nil && found.DeviceEndpoint != "" {
		err = requireSecureURL("device authorization endpoint", found.DeviceEndpoint)
	}
	return found, err
}

// IssuersOf finds what an API is called and who issues tokens for it, as its
// metadata says (RFC 9728 §3). It sends no credential.
func IssuersOf(ctx context.Context, api string) (resource string, issuers []string, err error) {
	found, err := finder{now: time.Now}.api(ctx, api)
	if err != nil {
		return "", nil, err
	}
	return found.Resource, found.AuthorizationServers, nil
}
