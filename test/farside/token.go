package farside

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Claims are those of a client assertion.
type Claims struct {
	Issuer   string        `json:"iss"`
	Subject  string        `json:"sub"`
	Audience jose.Audience `json:"aud"`
	ID       string        `json:"jti"`
	IssuedAt int64         `json:"iat"`
	Expires  int64         `json:"exp"`
}

// The issuer's limits.
const (
	skew    = 30 * time.Second
	maxLife = 5 * time.Minute
)

func (w *World) serveToken(rw http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" {
		refuse(rw, oauth.InvalidRequest("parameters belong into the body"))
		return
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			refuse(rw, oauth.InvalidRequest(name+" is there twice"))
			return
		}
	}
	seen := TokenRequest{Scope: r.PostForm.Get("scope"), Resource: r.PostForm.Get("resource")}
	client, err := w.authenticate(r, &seen)
	var granted oauth.Scope
	if err == nil {
		granted, err = w.grantScope(r, client)
	}
	seen.Granted = err == nil
	w.With(func(s *State) { s.TokenRequests = append(s.TokenRequests, seen) })
	if err != nil {
		refuse(rw, err)
		return
	}
	w.issue(rw, seen, granted)
}

func (w *World) grantScope(r *http.Request, c Client) (oauth.Scope, *oauth.Error) {
	var pending bool
	w.With(func(s *State) { pending = s.Pending; c.Scopes = c.Scopes.Minus(s.Withheld) })
	if pending {
		return nil, oauth.UnauthorizedClient("this client waits for the approval of an operator")
	}
	if r.PostForm.Get("grant_type") != oauth.GrantClientCredentials {
		return nil, oauth.UnsupportedGrantType("only client_credentials is offered")
	}
	if r.PostForm.Get("scope") == "" {
		return nil, nil
	}
	asked, err := oauth.ParseScope(r.PostForm.Get("scope"))
	if err != nil || !c.Scopes.Covers(asked) {
		return nil, oauth.InvalidScope("the client is registered for " + c.Scopes.String())
	}
	return asked, nil
}

func (w *World) issue(rw http.ResponseWriter, seen TokenRequest, granted oauth.Scope) {
	var life time.Duration
	w.With(func(s *State) { life = s.Life })
	now := w.now()
	audience := seen.Resource
	if audience == "" {
		audience = w.APIURL
	}
	claims, _ := json.Marshal(map[string]any{
		"iss": w.IssuerURL, "sub": seen.ClientID, "client_id": seen.ClientID, "aud": audience, "scope": granted.String(),
		"iat": now.Unix(), "exp": now.Add(life.Abs()).Unix(), "jti": fmt.Sprintf("%s-%d", seen.ClientID, now.UnixNano()),
	})
	token, err := w.signing.Sign(oauth.TypAccessToken, claims)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	answer := oauth.TokenResponse{AccessToken: token, TokenType: "bearer", Scope: granted.String()}
	if life > 0 {
		answer.ExpiresIn = int64(life / time.Second)
	}
	writeJSON(rw, http.StatusOK, answer)
}

// authenticate wants exactly one proof, and a good one.
func (w *World) authenticate(r *http.Request, seen *TokenRequest) (Client, *oauth.Error) {
	form := r.PostForm
	proofs := 0
	for _, present := range []bool{r.Header.Get("Authorization") != "", form.Has("client_secret"), form.Has("client_assertion")} {
		if present {
			proofs++
		}
	}
	if proofs != 1 {
		return Client{}, oauth.InvalidRequest(fmt.Sprintf("%d ways of client authentication in one request", proofs))
	}
	if form.Has("client_assertion") {
		return w.checkAssertion(form.Get("client_assertion_type"), form.Get("client_assertion"), form.Get("client_id"), seen)
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if header := r.Header.Get("Authorization"); header != "" {
		var err error
		if id, secret, err = oauth.ParseBasic(header); err != nil {
			return Client{}, oauth.InvalidClient("the Authorization header cannot be read")
		}
	}
	seen.ClientID = id
	client, known := w.client(id)
	if !known || client.Secret == "" || client.Secret != secret {
		return Client{}, oauth.InvalidClient("client or secret is wrong")
	}
	return client, nil
}

func (w *World) client(id string) (c Client, known bool) {
	w.With(func(s *State) { c, known = s.Clients[id] })
	return c, known
}

// checkAssertion is RFC 7523 §3, with the issuer as the sole audience.
func (w *World) checkAssertion(kind, raw, clientID string, seen *TokenRequest) (Client, *oauth.Error) {
	bad := func(format string, args ...any) (Client, *oauth.Error) {
		return Client{}, oauth.InvalidClient(fmt.Sprintf(format, args...))
	}
	if kind != oauth.AssertionTypeJWTBearer {
		return bad("client_assertion_type is %q", kind)
	}
	jwt, err := jose.Parse(raw, jose.ClientAlgorithms...)
	if err != nil {
		return bad("the assertion cannot be read: %v", err)
	}
	seen.Header = jwt.Header()
	if err := jwt.Peek(&seen.Claims); err != nil {
		return bad("the assertion's claims cannot be read")
	}
	c := seen.Claims
	seen.ClientID = c.Subject
	client, known := w.client(c.Subject)
	if !known {
		return bad("there is no such client")
	}
	if _, err := jwt.Verify(client.Keys.Candidates(seen.Header.KeyID, seen.Header.Alg)...); err != nil {
		return bad("the assertion's signature is not by a registered key")
	}
	now := w.now()
	exp, iat := time.Unix(c.Expires, 0), time.Unix(c.IssuedAt, 0)
	switch {
	case c.Issuer != c.Subject || clientID != "" && clientID != c.Subject:
		return bad("iss, sub and client_id differ")
	case c.Audience.WasArray || len(c.Audience.Values) != 1 || c.Audience.Values[0] != w.IssuerURL:
		return bad("aud must be the issuer, as one string")
	case seen.Header.Type != "" && seen.Header.Type != "jwt" && seen.Header.Type != oauth.TypClientAuthentication:
		return bad("typ is %q", seen.Header.Type)
	case now.After(exp.Add(skew)):
		return bad("the assertion has expired")
	case iat.After(now.Add(skew)):
		return bad("the assertion is from the future")
	case exp.After(now.Add(maxLife + skew)):
		return bad("the assertion lives too long")
	case len(c.ID) < 22:
		return bad("jti has less than 128 bits")
	}
	return client, w.spend(c.Subject, c.ID)
}

// spend accepts each jti once.
func (w *World) spend(client, jti string) *oauth.Error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spent[client+" "+jti] {
		return oauth.InvalidClient("the assertion's jti was used before")
	}
	w.spent[client+" "+jti] = true
	return nil
}
