package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
)

// Unsealer reads the former apikey of a client, sealed for one upstream.
type Unsealer interface {
	// APIKeyFor returns ok false if there is none.
	APIKeyFor(ctx context.Context, clientID, upstream string) (apikey secret.Text, ok bool, err error)
}

// credential is what the API receives in place of the caller's: nothing, or one
// secret that is put where apikeys travel.
type credential struct{ value secret.Text }

// prepareCredential fetches what the API is to receive, before anything is sent
// to it. The code is of a refusal.
func (c *call) prepareCredential() (code string) {
	if code := c.mint(); code != "" {
		return code
	}
	if c.token == nil || c.asker != nil { // what a proxy sends the API on is not seen here: no secret is given to it
		return ""
	}
	switch c.upstream.TokenCall {
	case SendSecret:
		c.toAPI.value = c.upstream.Secret
	case SendAPIKey:
		// A credential that opens all of the API is handed out for nothing but a
		// call whose scopes were checked.
		if c.decision.Code != policy.CodeToken || !c.rules.EnforcesEverywhere() || !c.upstream.private {
			return ""
		}
		value, err := c.g.unsealed.find(c.r.Context(), c.g.Unsealer, c.token.ClientID(), c.upstream.Name, c.at)
		if err != nil {
			c.g.Log.LogAttrs(c.r.Context(), slog.LevelError, "sealed apikey", slog.String("client", c.token.ClientID()),
				slog.String("upstream", c.upstream.Name), slog.Any("error", err))
			return codeCredentialUnavailable
		}
		c.toAPI.value = value
	}
	return ""
}

// setCredential gives the request to the API the credential that it is to have,
// and returns the query to send. The access token of the caller stays here
// unless the upstream is said to want it: an API could use it elsewhere.
func (c *call) setCredential(h http.Header, rawQuery string) string {
	rawQuery = c.credentialFor(h, rawQuery)
	c.assert(h, rawQuery)
	return rawQuery
}

func (c *call) credentialFor(h http.Header, rawQuery string) string {
	switch {
	case c.token != nil:
		c.setIdentity(h)
		if c.upstream.TokenCall != SendBearer {
			delete(h, "Authorization")
			delete(h, "Dpop") // a proof for this gateway, good nowhere else
		}
		if !c.toAPI.value.IsZero() {
			rawQuery = c.g.Reader.Remove(h, rawQuery)
			return c.upstream.in.carry(c.toAPI.value.Reveal(), h, rawQuery)
		}
	case c.replacesAPIKey():
		return c.replaceAPIKey(h, rawQuery)
	case c.apikey == nil || c.apikey.ClientID == "":
		return rawQuery
	}
	if c.upstream.StripQuery {
		return c.stripQuery(h, rawQuery)
	}
	return rawQuery
}

// setIdentity tells the API whose token it is that was judged.
func (c *call) setIdentity(h http.Header) {
	claims := c.token.Claims()
	h[headerClient] = []string{claims.ClientID}
	h[headerSubject] = []string{claims.Subject}
	h[headerScopes] = []string{claims.Scope.String()}
	h[headerCredential] = []string{"token:" + claims.ID}
}

// stripQuery takes the apikey of a mapped caller out of the query, and out of the
// Referer that may repeat it, and tells the API who calls instead.
func (c *call) stripQuery(h http.Header, rawQuery string) string {
	left := c.g.Reader.Remove(http.Header{}, rawQuery)
	if len(left) == len(rawQuery) {
		return rawQuery
	}
	if c.token == nil {
		c.replaced = true
		c.setAPIKeyIdentity(h)
	}
	c.redactReferer(h)
	return left
}

// redactReferer takes apikeys out of the Referer that may repeat a query.
func (c *call) redactReferer(h http.Header) {
	if referers := slices.Clone(h["Referer"]); referers != nil { // the caller's are shared
		for i, referer := range referers {
			referers[i] = c.g.Reader.Redact(referer)
		}
		h["Referer"] = referers
	}
}

// unsealedCache keeps opened apikeys for a short time, so that they are not
// unsealed in every call.
type unsealedCache struct {
	mu      sync.Mutex
	byOwner map[[2]string]unsealed
}

type unsealed struct {
	value secret.Text
	until time.Time
}

const (
	unsealedFor = time.Minute
	maxUnsealed = 1024
)

// find returns the client's apikey for the upstream, zero if it has none.
func (u *unsealedCache) find(ctx context.Context, from Unsealer, clientID, upstream string, now time.Time) (secret.Text, error) {
	owner := [2]string{clientID, upstream}
	u.mu.Lock()
	hit, ok := u.byOwner[owner]
	u.mu.Unlock()
	if ok && now.Before(hit.until) {
		return hit.value, nil
	}
	value, ok, err := from.APIKeyFor(ctx, clientID, upstream)
	if err != nil {
		return secret.Text{}, err
	}
	if !ok {
		value = secret.Text{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byOwner == nil {
		u.byOwner = map[[2]string]unsealed{}
	}
	for old := range u.byOwner {
		if len(u.byOwner) < maxUnsealed {
			break
		}
		delete(u.byOwner, old) // some entry: maps start anywhere
	}
	u.byOwner[owner] = unsealed{value: value, until: now.Add(unsealedFor)}
	return value, nil
}
