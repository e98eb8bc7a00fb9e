package clientauth

import (
	"context"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// publicAttempt is a client_id alone: all that a public client has (RFC 6749
// §2.1). It proves nothing, and endpoints that need proof refuse it by asking
// whether the client is confidential.
type publicAttempt struct{ id string }

func (p *publicAttempt) claimed() string { return p.id }
func (p *publicAttempt) method() string  { return oauth.AuthNone }

const noAuthentication = "no client authentication in the request: send it as client_secret_basic, client_secret_post, private_key_jwt or by a TLS client certificate, whichever the client is registered for"

func readPublic(form oauth.Params) (attempt, error) {
	id := form.Value("client_id")
	if id == "" {
		return nil, refusal(CauseMissing, noAuthentication)
	}
	return &publicAttempt{id: id}, nil
}

func (p *publicAttempt) prove(_ context.Context, _ *Authenticator, c *client.Client) (string, error) {
	if c == nil || c.AuthMethod != oauth.AuthNone { // RFC 7591 §2
		return "", refusal(CauseMissing, noAuthentication)
	}
	if f := checkStatus(c); f != nil {
		return "", f
	}
	return "", nil
}
