package federation

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// UpstreamOptions are one provider where people can prove themselves. All are
// needed.
type UpstreamOptions struct {
	Name     string // in cookies and URLs
	Issuer   string
	ClientID string
	Secret   secret.Text // client_secret_basic
	Scopes   oauth.Scope // beside openid
	Redirect string      // where the browser comes back to: a path of our own for this provider alone (RFC 9700 §4.4.2.1)
	Fetcher  *Fetcher
	Spender  Spender
	Master   *secret.MasterKey
	Now      func() time.Time
}

// Upstream is the relying party's side of OpenID Connect at one provider: code
// flow with PKCE, nonce and a state that is bound to the browser. Safe for
// concurrent use.
type Upstream struct {
	o       UpstreamOptions
	issuers *kept[issuerMetadata]
	keys    *KeySets
}

// NewUpstream makes an Upstream.
func NewUpstream(o UpstreamOptions) *Upstream {
	return &Upstream{o: o, issuers: newIssuers(o.Fetcher, 1, o.Now), keys: newKeySets(o.Fetcher, 2, o.Now, jose.ParseIssuerKeySet)}
}

// Arrival is who came back from a provider.
type Arrival struct {
	RequestID string // what Begin was given
	Issuer    string
	Subject   string
	Claims    client.ForeignToken // of the ID token
}

// departure is what the browser keeps while it is away, sealed.
type departure struct {
	State     string    `json:"state"`
	Nonce     string    `json:"nonce"`
	Verifier  string    `json:"verifier"`
	RequestID string    `json:"request"`
	Expires   time.Time `json:"expires"`
}

// awayFor is how long somebody may take at the provider.
const awayFor = 10 * time.Minute

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Begin sends the browser to the provider (OIDC Core §3.1.2.1, RFC 7636 §4.3).
func (u *Upstream) Begin(w http.ResponseWriter, r *http.Request, requestID string) error {
	m, err := u.metadata(r.Context())
	if err != nil {
		return err
	}
	target, err := url.Parse(m.AuthorizationEndpoint)
	if err != nil || target.Host == "" || target.Scheme != "https" && target.Scheme != "http" {
		return errors.New("upstream: the authorization_endpoint of the provider is no URL")
	}
	d := departure{State: random(), Nonce: random(), Verifier: random(), RequestID: requestID, Expires: u.o.Now().Add(awayFor)}
	if err := u.setCookie(w, d); err != nil {
		return err
	}
	challenge := sha256.Sum256([]byte(d.Verifier))
	query := target.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": u.o.ClientID, "redirect_uri": u.o.Redirect, "scope": oauth.Scope{"openid"}.Union(u.o.Scopes).String(),
		"state": d.State, "nonce": d.Nonce, "code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		query.Set(name, value)
	}
	target.RawQuery = query.Encode()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", target.String())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// metadata is what the provider says of itself; it must be the provider that
// says it (OIDC Discovery §4.3).
func (u *Upstream) metadata(ctx context.Context) (issuerMetadata, error) {
	m, err := u.issuers.current(ctx, oauth.OpenIDConfigurationURL(u.o.Issuer))
	if err == nil && m.Issuer != u.o.Issuer {
		err = fmt.Errorf("the metadata names the issuer %q", m.Issuer)
	}
	if err != nil {
		return m, fmt.Errorf("upstream %s: %w", u.o.Name, err)
	}
	return m, nil
}

// cookieName is not __Host-: the cookie is for one path.
func (u *Upstream) cookieName() string { return "offkey_up_" + u.o.Name }

func (u *Upstream) place() string { return "upstream " + u.o.Name + " " + u.o.Issuer }

func (u *Upstream) cookie(value string, life time.Duration) *http.Cookie {
	back, _ := url.Parse(u.o.Redirect) // checked when it was configured
	return &http.Cookie{
		Name: u.cookieName(), Value: value, Path: back.Path, MaxAge: int(life / time.Second), HttpOnly: true, Secure: back.Scheme == "https", SameSite: http.SameSiteLaxMode,
	}
}

func (u *Upstream) setCookie(w http.ResponseWriter, d departure) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("upstream %s: %w", u.o.Name, err)
	}
	http.SetCookie(w, u.cookie(base64.RawURLEncoding.EncodeToString(u.o.Master.Seal(raw, u.place())), awayFor))
	return nil
}

// Refused is why somebody did not arrive, in words for them.
type Refused struct {
	Words string
	Err   error // for our log
}

func (e *Refused) Error() string {
	if e.Err == nil {
		return e.Words
	}
	return e.Words + ": " + e.Err.Error()
}

func (e *Refused) Unwrap() error { return e.Err }

func refuse(words string, err error) error { return &Refused{Words: words, Err: err} }

// Finish takes a browser that comes back. Nobody is believed before the state is
// that of this browser, and everything is used once.
func (u *Upstream) Finish(w http.ResponseWriter, r *http.Request) (Arrival, error) {
	d, err := u.departed(r)
	if err != nil {
		return Arrival{}, err
	}
	gone := u.cookie("", 0)
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	m, err := u.metadata(r.Context())
	if err != nil {
		return Arrival{}, err
	}
	p, err := oauth.ParseParams(r.URL.RawQuery)
	if err != nil {
		return Arrival{}, refuse("the answer of the other place cannot be read", err)
	}
	if err := checkAnswer(p, d, m); err != nil {
		return Arrival{}, err
	}
	idToken, err := u.redeem(r.Context(), m, p.Value("code"), d.Verifier)
	if err != nil {
		return Arrival{}, refuse("the other place did not confirm the sign-in: begin again", err)
	}
	t, err := u.verify(r.Context(), m, idToken, d.Nonce)
	if err != nil {
		return Arrival{}, refuse("what the other place says cannot be believed", err)
	}
	// Last, so that only somebody whom the provider knows has us write.
	fresh, err := u.o.Spender.SpendAssertion(r.Context(), u.place(), d.State, d.Expires)
	switch {
	case err != nil:
		return Arrival{}, fmt.Errorf("upstream %s: spend the state: %w", u.o.Name, err)
	case !fresh:
		return Arrival{}, refuse("this sign-in was used before: begin again", nil)
	}
	return Arrival{RequestID: d.RequestID, Issuer: t.Issuer, Subject: t.Subject, Claims: t}, nil
}

// departed reads what this browser took along (RFC 9700 §4.7.1).
func (u *Upstream) departed(r *http.Request) (departure, error) {
	var d departure
	lost := refuse("this browser has not begun a sign-in here, or too long ago: begin again", nil)
	c, err := r.Cookie(u.cookieName())
	if err != nil {
		return d, lost
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return d, lost
	}
	raw, err := u.o.Master.Open(sealed, u.place())
	if err != nil || json.Unmarshal(raw, &d) != nil || !u.o.Now().Before(d.Expires) {
		return d, lost
	}
	return d, nil
}

// checkAnswer judges the authorization response (OIDC Core §3.1.2.5, RFC 9207
// §2.4).
func checkAnswer(p oauth.Params, d departure, m issuerMetadata) error {
	switch iss := p.Value("iss"); {
	case !secret.Same(p.Value("state"), d.State):
		return refuse("this sign-in was begun elsewhere: begin again", nil)
	case iss != "" && iss != m.Issuer, iss == "" && m.ResponseIssuer:
		return refuse("the answer is not of the place that was asked", nil)
	case p.Has("error"):
		return refuse("the other place did not let you in", errors.New(oauth.CleanDescription(p.Value("error"))))
	case !p.Has("code"):
		return refuse("the answer of the other place cannot be read", errors.New("no code"))
	}
	return nil
}

// redeem trades the code for an ID token (OIDC Core §3.1.3.1).
func (u *Upstream) redeem(ctx context.Context, m issuerMetadata, code, verifier string) (string, error) {
	form := url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {u.o.Redirect}, "code_verifier": {verifier}}
	header := http.Header{"Authorization": {oauth.FormatBasic(u.o.ClientID, u.o.Secret.Reveal())}}
	raw, err := u.o.Fetcher.Ask(ctx, m.TokenEndpoint, form, header)
	if err != nil {
		return "", err
	}
	var answer struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.IDToken == "" {
		return "", errors.New("the token endpoint answers without an id_token")
	}
	return answer.IDToken, nil
}

// verify checks the ID token (OIDC Core §3.1.3.7). A kid that the keys do not
// have has them fetched again.
func (u *Upstream) verify(ctx context.Context, m issuerMetadata, raw, nonce string) (client.ForeignToken, error) {
	jwt, err := jose.Parse(raw, jose.ClientAlgorithms...)
	if err != nil {
		return client.ForeignToken{}, err
	}
	set, err := u.keys.KeySet(ctx, m.JWKSURI)
	if err == nil && len(candidates(set, jwt.Header())) == 0 {
		set, err = u.keys.Refresh(ctx, m.JWKSURI)
	}
	if err != nil {
		return client.ForeignToken{}, err
	}
	claims, err := jwt.Verify(candidates(set, jwt.Header())...)
	if err != nil {
		return client.ForeignToken{}, err
	}
	t, err := client.ReadForeignToken(jwt.Header().Type, claims)
	if err != nil {
		return t, err
	}
	return t, u.checkIDToken(t, nonce)
}

func (u *Upstream) checkIDToken(t client.ForeignToken, nonce string) error {
	now := u.o.Now()
	var azp, said string
	_ = json.Unmarshal(t.Claims["azp"], &azp) // of another type it is ""
	_ = json.Unmarshal(t.Claims["nonce"], &said)
	switch {
	case t.Type != "" && t.Type != "jwt": // RFC 8725 §3.11
		return fmt.Errorf("typ of the ID token is %q", t.Type)
	case t.Issuer != u.o.Issuer:
		return fmt.Errorf("iss of the ID token is %q", t.Issuer)
	case !slices.Contains(t.Audience.Values, u.o.ClientID):
		return errors.New("the ID token is for another client")
	case len(t.Audience.Values) > 1 && azp == "", azp != "" && azp != u.o.ClientID:
		return errors.New("the ID token was given to another client")
	case t.Subject == "" || len(t.Subject) > 255 || strings.ContainsFunc(t.Subject, func(r rune) bool { return r < 0x20 || r > 0x7e }):
		return errors.New("sub of the ID token is missing, too long or not ASCII")
	case t.Expires.IsZero() || !now.Before(t.Expires.Add(client.TrustSkew)):
		return errors.New("the ID token has expired")
	case t.IssuedAt.IsZero() || t.IssuedAt.After(now.Add(client.TrustSkew)) || t.IssuedAt.Before(now.Add(-awayFor)):
		return errors.New("iat of the ID token is missing, long ago or in the future")
	case !secret.Same(said, nonce):
		return errors.New("the nonce of the ID token is another")
	}
	return nil
}
