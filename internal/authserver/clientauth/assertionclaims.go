package clientauth

import (
	"context"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// How long an assertion may live, and how far clocks may be apart.
const (
	defaultLife = 5 * time.Minute
	compatLife  = time.Hour
	skew        = 30 * time.Second
	maxJTI      = 256 // bytes
)

// assertionClaims is what an assertion says beside its iss and sub (RFC 7523
// §3).
type assertionClaims struct {
	Audience  jose.Audience    `json:"aud"`
	Expires   jose.NumericDate `json:"exp"`
	NotBefore jose.NumericDate `json:"nbf"`
	IssuedAt  jose.NumericDate `json:"iat"`
	ID        string           `json:"jti"`
}

// checkClaims judges an assertion whose signature is right. Spending the jti
// comes last: it is the only step that writes.
func (a *Authenticator) checkClaims(ctx context.Context, c *client.Client, raw []byte, endpoint string) error {
	var claims assertionClaims
	if err := jose.DecodeClaims(raw, &claims); err != nil {
		return &failure{cause: CauseMalformed, answer: oauth.InvalidClient("a claim of the client assertion has the wrong type: times are numbers of seconds, aud and jti are strings").WithCause(err)}
	}
	if f := a.checkAudience(c, claims.Audience, endpoint); f != nil {
		return f
	}
	if f := a.checkTimes(c, claims); f != nil {
		return f
	}
	return a.spend(ctx, c, claims)
}

// checkAudience: the issuer as one string is the audience (RFC 7523 §3 as
// updated). An audience that other servers share would let one of them use the
// assertion here. A client registered with audience: compat may also name an
// endpoint, or several audiences; that is counted.
func (a *Authenticator) checkAudience(c *client.Client, aud jose.Audience, endpoint string) *failure {
	issuer := a.options.Issuer
	if !aud.WasArray && aud.Has(issuer) {
		return nil
	}
	if c.TakesCompat() && (aud.Has(issuer) || aud.Has(a.options.TokenEndpoint) || endpoint != "" && aud.Has(endpoint)) {
		a.options.Compat(c, "audience")
		return nil
	}
	switch {
	case aud.IsZero():
		return refusal(CauseAudience, "aud of the client assertion is missing: it must be "+issuer)
	case aud.WasArray && aud.Has(issuer):
		return refusal(CauseAudience, "aud of the client assertion is an array: it must be one string, "+issuer)
	}
	return refusal(CauseAudience, "aud of the client assertion must be the issuer, "+issuer+
		" (RFC 7523 as updated). Many libraries send the token endpoint unless told otherwise; for one that cannot be told, the operator of this server can set the client to audience: compat")
}

// checkTimes: exp is needed, near and in the future; nbf and iat are not in the
// future (RFC 7523 §3). Clocks may be half a minute apart.
func (a *Authenticator) checkTimes(c *client.Client, claims assertionClaims) *failure {
	strict := a.options.AssertionLife
	most := strict
	if c.TakesCompat() {
		most = max(strict, compatLife)
	}
	now := a.options.Now()
	expires, issued, notBefore := claims.Expires.Time(), claims.IssuedAt.Time(), claims.NotBefore.Time()
	life := expires.Sub(now) - skew
	if !issued.IsZero() {
		life = max(life, expires.Sub(issued))
	}
	switch {
	case claims.Expires.IsZero():
		return refusal(CauseLifetime, "exp of the client assertion is missing")
	case !now.Before(expires.Add(skew)):
		return refusal(CauseClock, fmt.Sprintf("the client assertion expired %s ago: make a new one for each request, and check the clock of the client. By this server's clock it is %s", seconds(now.Sub(expires)), stamp(now)))
	case issued.After(now.Add(skew)):
		return refusal(CauseClock, ahead("iat", issued, now))
	case notBefore.After(now.Add(skew)):
		return refusal(CauseClock, ahead("nbf", notBefore, now))
	case life > most:
		return refusal(CauseLifetime, fmt.Sprintf("the client assertion lives for %s, at most %s is accepted: make exp earlier, or set the clock of the client if it is fast. By this server's clock it is %s", seconds(life), seconds(most), stamp(now)))
	}
	if life > strict {
		a.options.Compat(c, "lifetime")
	}
	return nil
}

func ahead(claim string, t, now time.Time) string {
	return fmt.Sprintf("%s of the client assertion is %s in the future: the clock of the client is fast. By this server's clock it is %s", claim, seconds(t.Sub(now)), stamp(now))
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%d s", int64(d.Round(time.Second).Seconds()))
}

// spend uses the jti up (RFC 7523 §3): an assertion that was seen on its way
// opens nothing.
func (a *Authenticator) spend(ctx context.Context, c *client.Client, claims assertionClaims) error {
	if claims.ID == "" || len(claims.ID) > maxJTI {
		return refusal(CauseMalformed, "jti of the client assertion is missing or longer than 256 bytes: it must be new for each request, such as a random UUID")
	}
	fresh, err := a.options.Spender.SpendAssertion(ctx, c.ID, claims.ID, claims.Expires.Time().Add(skew+time.Second))
	switch {
	case err != nil:
		return unavailable(err)
	case !fresh:
		return refusal(CauseReplayed, "this client assertion was used before: sign a new one with a new jti for each request. Libraries that keep the claims object send the same jti again")
	}
	return nil
}
