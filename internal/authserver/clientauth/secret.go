package clientauth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// secretAttempt is client_secret_basic or client_secret_post (RFC 6749 §2.3.1).
type secretAttempt struct {
	id, secret string
	way        string
}

func (s *secretAttempt) claimed() string { return s.id }
func (s *secretAttempt) method() string  { return s.way }

// readBasic reads client_secret_basic.
func readBasic(header string, form oauth.Params) (attempt, error) {
	if scheme, _, _ := strings.Cut(header, " "); !strings.EqualFold(scheme, "Basic") {
		return nil, &failure{cause: CauseMalformed, answer: oauth.InvalidClient(
			"the Authorization header has another scheme than Basic, the only one taken here").WithScheme("Basic")}
	}
	id, password, err := oauth.ParseBasic(header)
	if err != nil {
		return nil, &failure{cause: CauseMalformed, answer: oauth.InvalidClient(descriptionOf(err)).WithScheme("Basic")}
	}
	if err := checkSameClient(form, id); err != nil {
		return nil, err
	}
	return &secretAttempt{id: id, secret: password, way: oauth.AuthClientSecretBasic}, nil
}

func descriptionOf(err error) string {
	if e, ok := err.(*oauth.Error); ok {
		return e.Description
	}
	return "the Authorization header cannot be read"
}

// readPost reads client_secret_post. Only the body is read: a query string ends
// up in logs (RFC 6749 §2.3.1).
func readPost(form oauth.Params) (attempt, error) {
	id := form.Value("client_id")
	if id == "" {
		return nil, &failure{cause: CauseMalformed, answer: oauth.InvalidRequest("client_secret is sent without client_id")}
	}
	return &secretAttempt{id: id, secret: form.Value("client_secret"), way: oauth.AuthClientSecretPost}, nil
}

// unprovedSecret is all that anyone learns who does not have the secret.
const unprovedSecret = "client authentication failed: there is no such client, its secret is another, or it is registered for another authentication method"

// prove compares the secret's hash with that of every secret of the client,
// each in constant time, and with a decoy's where there is no client.
func (s *secretAttempt) prove(_ context.Context, a *Authenticator, c *client.Client) (string, error) {
	sent := secret.HashOf(s.secret)
	a.observe("hash")
	credentials := a.decoy.credentials
	if c != nil && hasSecret(c) {
		credentials = c.Credentials
	}
	var proved *client.Credential
	for i := range credentials {
		if cr := &credentials[i]; cr.Kind == client.KindSecret && !cr.Hash.IsZero() {
			a.observe("compare")
			if cr.Hash.Equal(sent) {
				proved = cr
			}
		}
	}
	if proved == nil || c == nil {
		return "", s.challenged(unproved(unprovedSecret))
	}
	if f := checkSecret(c, *proved, s.way, a.options.Now()); f != nil {
		return "", s.challenged(f)
	}
	return proved.ID, nil
}

// checkSecret judges a secret that is right.
func checkSecret(c *client.Client, cr client.Credential, way string, now time.Time) *failure {
	if !cr.Live(now) {
		return refusal(CauseExpired, fmt.Sprintf("this secret expired at %s: use the client's newer one, or have one made", stamp(cr.Expires)))
	}
	if c.AuthMethod != way { // RFC 7591 §2
		return refusal(CauseMethod, "the secret is right, but sent in another way than this client is registered for: "+howRegistered(c.AuthMethod))
	}
	return checkStatus(c)
}

func howRegistered(method string) string {
	switch method {
	case oauth.AuthClientSecretBasic:
		return "client_secret_basic, in the Authorization header (golang.org/x/oauth2: AuthStyleInHeader)"
	case oauth.AuthClientSecretPost:
		return "client_secret_post, in the body (golang.org/x/oauth2: AuthStyleInParams)"
	case oauth.AuthTLSClient, oauth.AuthSelfSignedTLSClient:
		return method + ", a certificate of the TLS connection"
	}
	return "private_key_jwt, a signed client_assertion"
}

// challenged answers a Basic header with a Basic challenge (RFC 6749 §5.2).
func (s *secretAttempt) challenged(f *failure) *failure {
	if s.way == oauth.AuthClientSecretBasic {
		f.answer = f.answer.WithScheme("Basic")
	}
	return f
}

func hasSecret(c *client.Client) bool {
	for i := range c.Credentials {
		if c.Credentials[i].Kind == client.KindSecret {
			return true
		}
	}
	return false
}

// stamp writes a time for a description.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
