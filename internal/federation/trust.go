package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Spender keeps which tokens were used.
type Spender interface {
	// SpendAssertion notes a jti in one atomic and durable step and reports
	// whether it is the first to come with it.
	SpendAssertion(ctx context.Context, by, jti string, expires time.Time) (fresh bool, err error)
}

// TrustOptions are what a Trust works with. All are needed.
type TrustOptions struct {
	Fetcher *Fetcher
	Spender Spender
	// Rules are those in force, in the order in which they are asked.
	Rules  func() []*client.TrustRule
	Issuer string // ours: the audience where a rule names none
	Now    func() time.Time
}

// Trust verifies tokens of other issuers by the rules of the operator. Safe for
// concurrent use.
type Trust struct {
	o       TrustOptions
	issuers *kept[issuerMetadata]
	keys    *KeySets // of issuers
	bundles *KeySets // of SPIFFE trust domains
}

// trustCapacity bounds the issuers whose keys are kept; an operator has named
// each of them.
const trustCapacity = 1000

// NewTrust makes a Trust.
func NewTrust(o TrustOptions) *Trust {
	return &Trust{
		o: o, issuers: newIssuers(o.Fetcher, trustCapacity, o.Now),
		keys:    newKeySets(o.Fetcher, trustCapacity, o.Now, jose.ParseIssuerKeySet),
		bundles: newKeySets(o.Fetcher, trustCapacity, o.Now, jose.ParseBundle),
	}
}

// Identify finds the rule by which a token stands for something and spends the
// token. What stands for nothing is a *client.TrustFailure; any other error is
// ours.
func (t *Trust) Identify(ctx context.Context, p client.Presented) (client.Identified, error) {
	jwt, claimed, err := readForeign(p.Token)
	if err != nil {
		return client.Identified{}, err
	}
	now := t.o.Now()
	rules := t.rulesFor(p.For, claimed)
	if len(rules) == 0 {
		return client.Identified{}, unproved(errors.New("no rule names this issuer"))
	}
	token, rules, err := t.verify(ctx, jwt, rules)
	if err != nil {
		return client.Identified{}, err
	}
	rule, err := t.choose(rules, token, p.ClientID, now)
	if err != nil {
		return client.Identified{}, err
	}
	if err := t.spend(ctx, rule, token); err != nil {
		return client.Identified{}, err
	}
	return client.Identified{Rule: *rule, Token: token}, nil
}

// readForeign reads what nobody has proved yet.
func readForeign(raw string) (*jose.Unverified, client.ForeignToken, error) {
	jwt, err := jose.Parse(raw, jose.ClientAlgorithms...)
	if err != nil {
		return nil, client.ForeignToken{}, &client.TrustFailure{
			Cause: client.TrustShape, Description: "the token is not a JWT in compact form that is signed with ES256, EdDSA, PS256 or RS256", Err: err,
		}
	}
	var claims json.RawMessage
	if err := jwt.Peek(&claims); err != nil {
		return nil, client.ForeignToken{}, malformed(err)
	}
	token, err := client.ReadForeignToken(jwt.Header().Type, claims)
	if err != nil {
		return nil, client.ForeignToken{}, malformed(err)
	}
	return jwt, token, nil
}

func malformed(err error) error {
	return &client.TrustFailure{
		Cause: client.TrustShape, Description: "a claim of the token has the wrong type: times are numbers of seconds, aud and jti are strings", Err: err,
	}
}

// unproved is all that anyone learns whose token does not fit: everybody with an
// account at a large issuer can get one.
func unproved(err error) error {
	return &client.TrustFailure{
		Cause: client.TrustUnproved, Err: err,
		Description: "no trust rule of this server lets this token stand for a client: the issuer is unknown here, the signature is wrong, or sub and claims fit no rule. The operator sees which with `offkey trust test`",
	}
}

// rulesFor are the rules that a token could fall under by what it says of its
// issuer. Rules that name ourselves are no use: our tokens are no credentials of
// clients.
func (t *Trust) rulesFor(use string, claimed client.ForeignToken) []*client.TrustRule {
	var found []*client.TrustRule
	for _, r := range t.o.Rules() {
		byIssuer := claimed.Issuer != "" && r.Issuer == claimed.Issuer && r.Issuer != t.o.Issuer
		if r.Kind == client.TrustSPIFFE {
			byIssuer = client.InTrustDomain(claimed.Subject, r.Issuer)
		}
		if byIssuer && r.For == use && !r.Disabled {
			found = append(found, r)
		}
	}
	return found
}

// verify checks the signature with the keys of each rule, and returns the rules
// whose keys have made it.
func (t *Trust) verify(ctx context.Context, jwt *jose.Unverified, rules []*client.TrustRule) (client.ForeignToken, []*client.TrustRule, error) {
	verdicts := map[string]error{} // by where the keys are: most rules of an issuer share them
	var claims []byte
	var proved []*client.TrustRule
	var failed error
	for _, r := range rules {
		source := r.Kind + " " + r.Issuer + " " + r.JWKSURI
		err, known := verdicts[source]
		if !known || len(r.Keys.Keys) > 0 {
			var verified []byte
			if verified, err = t.verifyBy(ctx, jwt, r); err == nil {
				claims = verified
			}
			if len(r.Keys.Keys) == 0 {
				verdicts[source] = err
			}
		}
		if err != nil {
			failed = err
			continue
		}
		proved = append(proved, r)
	}
	if len(proved) == 0 {
		return client.ForeignToken{}, nil, failed
	}
	token, err := client.ReadForeignToken(jwt.Header().Type, claims)
	if err != nil {
		return client.ForeignToken{}, nil, malformed(err)
	}
	return token, proved, nil
}

// verifyBy checks the signature with the keys of one rule. A kid that they do
// not have, because the issuer rotates, has them fetched again.
func (t *Trust) verifyBy(ctx context.Context, jwt *jose.Unverified, r *client.TrustRule) ([]byte, error) {
	h := jwt.Header()
	if len(r.Keys.Keys) > 0 {
		return verified(jwt.Verify(candidates(r.Keys, h)...))
	}
	sets, uri, err := t.source(ctx, r)
	if err != nil {
		return nil, unfetched(err)
	}
	set, err := sets.KeySet(ctx, uri)
	if err != nil {
		return nil, unfetched(err)
	}
	if len(candidates(set, h)) == 0 {
		if set, err = sets.Refresh(ctx, uri); err != nil {
			return nil, unfetched(err)
		}
	}
	return verified(jwt.Verify(candidates(set, h)...))
}

func verified(claims []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, unproved(err)
	}
	return claims, nil
}

// unfetched says what the operator of the client can do about it: wait.
func unfetched(err error) error {
	return &client.TrustFailure{
		Cause: client.TrustKeys, Err: err,
		Description: "the keys of the issuer of this token cannot be fetched now: try again; the operator sees the cause with `offkey trust test`",
	}
}

// maxCandidates bounds the signatures that one token has us check.
const maxCandidates = 8

// candidates are the keys of that kid; a key that was published without a kid
// may have any.
func candidates(set jose.KeySet, h jose.Header) []jose.PublicKey {
	found := set.Candidates(h.KeyID, h.Alg)
	for _, k := range set.Keys {
		if h.KeyID != "" && k.ID == "" && k.UsableWith(h.Alg) {
			found = append(found, k)
		}
	}
	return found[:min(len(found), maxCandidates)]
}

// source is where the keys of a rule are.
func (t *Trust) source(ctx context.Context, r *client.TrustRule) (*KeySets, string, error) {
	if r.Kind == client.TrustSPIFFE {
		return t.bundles, r.JWKSURI, nil
	}
	if r.JWKSURI != "" {
		return t.keys, r.JWKSURI, nil
	}
	m, err := t.issuers.current(ctx, oauth.OpenIDConfigurationURL(r.Issuer))
	switch {
	case err != nil:
		return nil, "", err
	case m.Issuer != r.Issuer: // OIDC Discovery §4.3
		return nil, "", fmt.Errorf("the metadata at %s names the issuer %q", oauth.OpenIDConfigurationURL(r.Issuer), m.Issuer)
	}
	return t.keys, m.JWKSURI, nil
}

// choose finds the one rule that a proved token falls under. Several rules may
// fit as long as they mean one client.
func (t *Trust) choose(rules []*client.TrustRule, token client.ForeignToken, clientID string, now time.Time) (*client.TrustRule, error) {
	var fitting []*client.TrustRule
	var nearest []client.Finding
	for _, r := range rules {
		found := r.Judge(token, t.o.Issuer, now)
		switch {
		case client.AllOK(found):
			fitting = append(fitting, r)
		case nearest == nil || lacking(found) < lacking(nearest):
			nearest = found
		}
	}
	switch {
	case len(fitting) == 0:
		return nil, misfit(nearest)
	case fitting[0].For == client.TrustPeople && !slices.Equal(token.Texts("client_id"), []string{clientID}):
		return nil, &client.TrustFailure{Cause: client.TrustAudience, Description: "client_id of the token is not the client that brings it"}
	}
	if clientID != "" {
		// SPIFFE clients name themselves by their SPIFFE ID.
		named := slices.IndexFunc(fitting, func(r *client.TrustRule) bool { return r.ClientID == clientID })
		switch {
		case named >= 0:
			return fitting[named], nil
		case fitting[0].For != client.TrustClient:
		case fitting[0].Kind != client.TrustSPIFFE || clientID != token.Subject:
			return nil, unproved(errors.New("client_id is not the client of a rule that fits"))
		}
	}
	for _, r := range fitting[1:] {
		if r.ClientID != fitting[0].ClientID {
			return nil, &client.TrustFailure{Cause: client.TrustChoice, Description: "this token stands for more than one client here: send client_id too"}
		}
	}
	return fitting[0], nil
}

func lacking(found []client.Finding) (n int) {
	for _, f := range found {
		if !f.OK {
			n++
		}
	}
	return n
}

// misfit tells the developer what is wrong with the token where nothing else is:
// its audience, its times, its jti. What the rules want of sub and claims is for
// the operator alone.
func misfit(nearest []client.Finding) error {
	causes := map[string]string{"audience": client.TrustAudience, "expires": client.TrustClock, "age": client.TrustLifetime, "jti": client.TrustShape, "type": client.TrustShape, "client_id": client.TrustShape}
	var wrong *client.Finding
	for i, f := range nearest {
		if f.OK {
			continue
		}
		if causes[f.Condition] == "" {
			return unproved(fmt.Errorf("%s is %q, wanted %q", f.Condition, f.Got, f.Want))
		}
		if wrong == nil {
			wrong = &nearest[i]
		}
	}
	return &client.TrustFailure{
		Cause: causes[wrong.Condition], Description: fmt.Sprintf("%s of the token: wanted %s, it is %s", wrong.Condition, wrong.Want, wrong.Got),
	}
}

// spend uses the jti up, of all tokens of the issuer (RFC 7523 §3). It is the
// only step that writes.
func (t *Trust) spend(ctx context.Context, r *client.TrustRule, token client.ForeignToken) error {
	if r.Reusable || r.For == client.TrustStatements {
		return nil
	}
	expires := token.Expires
	if latest := t.o.Now().Add(client.MaxTrustAge); expires.After(latest) {
		expires = latest // by then it is too old for every rule
	}
	fresh, err := t.o.Spender.SpendAssertion(ctx, "trust "+r.For+" "+r.Issuer, token.ID, expires.Add(client.TrustSkew+time.Second))
	switch {
	case err != nil:
		return fmt.Errorf("spend the token: %w", err)
	case !fresh:
		return &client.TrustFailure{Cause: client.TrustReplayed, Description: "this token was used before: get a new one from its issuer for each request, and keep the access token that it opens until that expires"}
	}
	return nil
}

// Examine says what would become of a token, and changes nothing.
func (t *Trust) Examine(ctx context.Context, raw string) (client.Examined, error) {
	jwt, claimed, err := readForeign(raw)
	if err != nil {
		return client.Examined{}, err
	}
	out := client.Examined{Issuer: claimed.Issuer, Subject: claimed.Subject, Rules: []client.ExaminedRule{}}
	var fitting []*client.TrustRule
	for _, r := range t.o.Rules() {
		byIssuer := r.Kind == client.TrustSPIFFE && client.InTrustDomain(claimed.Subject, r.Issuer) || claimed.Issuer == r.Issuer
		if !byIssuer {
			continue
		}
		_, err := t.verifyBy(ctx, jwt, r)
		out.Signature = out.Signature || err == nil
		found := append([]client.Finding{signatureFinding(err), {Condition: "enabled", OK: !r.Disabled, Want: "true", Got: fmt.Sprint(!r.Disabled)}}, r.Judge(claimed, t.o.Issuer, t.o.Now())...)
		one := client.ExaminedRule{ID: r.ID, Name: r.Name, ClientID: r.ClientID, Matches: client.AllOK(found), Findings: found}
		if one.Matches {
			fitting = append(fitting, r)
		}
		out.Rules = append(out.Rules, one)
	}
	out.Reason = reason(out, fitting)
	if out.Reason == "" {
		out.Matched, out.ClientID = fitting[0].ID, fitting[0].ClientID
	}
	return out, nil
}

func signatureFinding(err error) client.Finding {
	f := client.Finding{Condition: "signature", OK: err == nil, Want: "by a key of the issuer", Got: "right"}
	var failure *client.TrustFailure
	if errors.As(err, &failure) && failure.Err != nil {
		f.Got = failure.Err.Error()
	}
	return f
}

// reason says why a token would stand for nothing, "" where it does.
func reason(out client.Examined, fitting []*client.TrustRule) string {
	clients := map[string]bool{}
	for _, r := range fitting {
		clients[r.For+" "+r.ClientID] = true
	}
	switch {
	case len(out.Rules) == 0:
		return "no rule names its issuer"
	case len(fitting) == 0:
		return "no rule fits: " + strings.Join(mostlyFits(out.Rules), ", ")
	case len(clients) > 1:
		return "it stands for several clients: the request must name one with client_id"
	}
	return ""
}

// mostlyFits names what is wrong by the rule that lacks least.
func mostlyFits(rules []client.ExaminedRule) (wrong []string) {
	nearest := slices.MinFunc(rules, func(a, b client.ExaminedRule) int { return lacking(a.Findings) - lacking(b.Findings) })
	for _, f := range nearest.Findings {
		if !f.OK {
			wrong = append(wrong, f.Condition)
		}
	}
	return wrong
}
