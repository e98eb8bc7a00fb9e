package gateway

import (
	"strings"
	"sync"

	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// outcome is a code as it is counted.
type outcome struct {
	index          int // among the bound counters
	denied, shadow string
}

// outcomes are the codes in the order in which their counters are bound.
var outcomes = func() map[string]*outcome {
	codes := map[string]*outcome{}
	for i, code := range [...]string{
		policy.CodeNotEnforced, policy.CodeOpenRoute, policy.CodeAPIKey, policy.CodeUnverified, policy.CodeToken, codePreflight,
		policy.CodeAPIKeyBrownout, policy.CodeAPIKeyUpgradeOnly, policy.CodeAPIKeyRetired, policy.CodeAPIKeyBlocked,
		policy.CodeAPIKeyUnknown, policy.CodeAPIKeyNew, policy.CodeCredentialMissing, policy.CodeCredentialConflict, policy.CodeCredentialDuplicate,
		policy.CodeInvalidToken, policy.CodeForeignToken, policy.CodeInsufficientScope, policy.CodeUnknownRoute,
		policy.CodeInvalidProof, policy.CodeUseNonce, policy.CodeDPoPRequired, policy.CodeStepUp,
		policy.CodeAmbiguousRequest,
		codeNotFound, codeHostUnknown, codeMethodRefused, codeTargetRefused, codeAmbiguousFraming, codeRateLimited,
		codeUpstreamUnavailable, codeUpstreamTimeout, codeCredentialUnavailable, codeProxyUntrusted, codeOriginalMissing,
	} {
		codes[code] = &outcome{index: i, denied: "denied:" + code, shadow: "shadow:" + code}
	}
	for _, code := range [...]string{codeUpstreamUnavailable, codeUpstreamTimeout, codeCredentialUnavailable} {
		codes[code].denied = "failed:" + code // allowed, and not answered by the API
	}
	return codes
}()

// observe records the call as soon as its status is known, so that a stream is
// counted when it begins. Calls that are refused before they are judged are
// counted in the metrics alone: nothing in them can be believed.
func (c *call) observe(status int, denied string) {
	if c.status != 0 {
		return // an answer that broke after it had begun
	}
	c.status, c.outcome = status, denied
	c.g.metrics.count(c)
	if !c.judged {
		return
	}
	if c.outcome == "" && c.decision.Shadow != "" {
		c.outcome = outcomes[c.decision.Shadow].shadow
	}
	o := traffic.Observation{
		At: c.at, Credential: c.credential(), Method: c.r.Method, Path: c.target.Path, Status: status,
		UserAgent: c.withoutSecrets(userAgent(c.r.Header["User-Agent"])), Source: traffic.SourceOf(c.source),
		Carrier: c.carrier, Outcome: c.outcome, Browser: c.fromPage(), Plain: c.isPlain(),
	}
	template, known := c.template(o.Credential.Known(), status)
	c.g.Tally.Add(o, template, known)
	if o.Credential.Kind == traffic.KindUnknown && isSuccess(status) {
		c.g.learner.hear(c, heard{o, template, known})
	}
	if c.principal.Kind == policy.KnownAPIKey || c.principal.Kind == policy.UnknownAPIKey {
		if isSuccess(status) && !c.g.recogniser.idle() {
			c.g.recogniser.heard(c)
		}
	}
}

// fromPage reports whether a page in a browser made the call: only browsers send
// these headers by themselves.
func (c *call) fromPage() bool {
	h := c.r.Header
	return len(h["Origin"]) > 0 || len(h["Sec-Fetch-Mode"]) > 0 || len(h["Sec-Fetch-Site"]) > 0
}

// isPlain reports whether the caller sent the call without TLS, for certain: a
// trusted proxy says so, or a peer with a public address speaks plain HTTP. A
// private one may be a proxy that nobody has named.
func (c *call) isPlain() bool {
	if c.trusted {
		proto := c.r.Header["X-Forwarded-Proto"]
		return len(proto) == 1 && proto[0] == "http"
	}
	return c.r.TLS == nil && c.source.IsGlobalUnicast() && !c.source.IsPrivate()
}

// credential is what the call is counted under: for a token that an apikey was
// exchanged for, the apikey's id, since it falls with the apikey and not with
// the client that it was issued to.
func (c *call) credential() traffic.Credential {
	switch c.principal.Kind {
	case policy.KnownAPIKey:
		return traffic.Credential{Kind: traffic.KindAPIKey, ID: c.principal.ID}
	case policy.TokenClient:
		if from := c.token.Claims().APIKeyID; from != "" {
			return traffic.Credential{Kind: traffic.KindClient, ID: from}
		}
		return traffic.Credential{Kind: traffic.KindClient, ID: c.principal.ClientID}
	case policy.UnknownAPIKey:
		return traffic.Credential{Kind: traffic.KindUnknown}
	}
	return traffic.Credential{Kind: traffic.KindNone}
}

// template is the one that the call is counted under, and whether it may be
// kept for a caller whom nobody knows: it has a route, or somebody known has
// called it with success.
func (c *call) template(knownCaller bool, status int) (template string, known bool) {
	path := c.target.Path
	if strings.Contains(path, "=") { // an apikey of the query that was sent in the path
		path = c.g.Reader.Redact(path)
	}
	template = c.g.Tally.Templates.Of(c.withoutSecrets(path))
	if c.g.templates.has(template) {
		return template, true
	}
	if knownCaller && (status >= 200 && status < 400 || status == traffic.StatusUnknown) {
		c.g.templates.add(template)
	}
	return template, c.decision.Route != nil
}

// leastRepeated is how long a credential is that is looked for elsewhere in its
// call: shorter ones are found in everything.
const leastRepeated = 8

// withoutSecrets is what may be kept of a text of the call, in which its caller
// may have repeated its credentials: programs put apikeys into their User-Agent.
func (c *call) withoutSecrets(text string) string {
	for _, found := range c.presented.Found() {
		text = without(text, found.Value)
	}
	return without(text, c.presented.Token)
}

func without(text string, credential secret.Text) string {
	if value := credential.Reveal(); len(value) >= leastRepeated && strings.Contains(text, value) {
		return strings.ReplaceAll(text, value, "***")
	}
	return text
}

func userAgent(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

// templateSet is a set of templates that grows to a limit and no further.
type templateSet struct {
	mu  sync.RWMutex
	set map[string]struct{}
}

const maxTemplates = 10_000

func (s *templateSet) has(template string) bool {
	s.mu.RLock()
	_, ok := s.set[template]
	s.mu.RUnlock()
	return ok
}

func (s *templateSet) add(template string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		s.set = map[string]struct{}{}
	}
	if len(s.set) < maxTemplates {
		s.set[template] = struct{}{}
	}
}
