package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// ForeignToken is what a token of another issuer says. Whether its signature is
// right is for others to know.
type ForeignToken struct {
	Type      string // typ of its header, in lower case
	Issuer    string
	Subject   string
	Audience  jose.Audience
	Expires   time.Time
	NotBefore time.Time
	IssuedAt  time.Time
	ID        string
	Claims    map[string]json.RawMessage
}

// ReadForeignToken reads the claims of a token.
func ReadForeignToken(typ string, claims []byte) (ForeignToken, error) {
	var known struct {
		Issuer    string           `json:"iss"`
		Subject   string           `json:"sub"`
		Audience  jose.Audience    `json:"aud"`
		Expires   jose.NumericDate `json:"exp"`
		NotBefore jose.NumericDate `json:"nbf"`
		IssuedAt  jose.NumericDate `json:"iat"`
		ID        string           `json:"jti"`
	}
	if err := jose.DecodeClaims(claims, &known); err != nil {
		return ForeignToken{}, fmt.Errorf("the claims cannot be read: %w", err)
	}
	t := ForeignToken{
		Type: typ, Issuer: known.Issuer, Subject: known.Subject, Audience: known.Audience, ID: known.ID,
		Expires: known.Expires.Time(), NotBefore: known.NotBefore.Time(), IssuedAt: known.IssuedAt.Time(),
	}
	if err := json.Unmarshal(claims, &t.Claims); err != nil {
		return ForeignToken{}, fmt.Errorf("the claims cannot be read: %w", err)
	}
	return t, nil
}

// Finding is one condition of a rule, held against a token.
type Finding struct {
	Condition string `json:"condition"` // issuer, type, audience, subject, expires, age, jti, or "claim" and its name
	OK        bool   `json:"ok"`
	Want      string `json:"want"`
	Got       string `json:"got"`
}

// TrustSkew is how far clocks may be apart.
const TrustSkew = 30 * time.Second

// maxForeignJTI bounds what is kept of a jti, in bytes.
const maxForeignJTI = 256

// Judge holds every condition of the rule against a token: all of them must be
// OK. ourIssuer is the audience where the rule names none.
func (r *TrustRule) Judge(t ForeignToken, ourIssuer string, now time.Time) []Finding {
	found := []Finding{
		r.judgeIssuer(t), r.judgeType(t), r.judgeAudience(t, ourIssuer),
		r.judgeSubject(t),
		r.judgeExpiry(t, now), r.judgeAge(t, now), r.judgeID(t),
	}
	if r.For == TrustPeople {
		found = append(found, judgeClient(t))
	}
	for _, c := range r.Where {
		found = append(found, c.judge(t))
	}
	return found
}

// AllOK reports whether every condition holds.
func AllOK(found []Finding) bool {
	return len(found) > 0 && !slices.ContainsFunc(found, func(f Finding) bool { return !f.OK })
}

// judgeIssuer compares octet by octet. A JWT-SVID need not name its issuer: its
// trust domain is in the subject, and Subject is held to it.
func (r *TrustRule) judgeIssuer(t ForeignToken) Finding {
	if r.Kind == TrustSPIFFE {
		return Finding{"issuer", InTrustDomain(t.Subject, r.Issuer), r.Issuer, t.Subject}
	}
	return Finding{"issuer", t.Issuer != "" && t.Issuer == r.Issuer, r.Issuer, t.Issuer}
}

// InTrustDomain reports whether a subject is a SPIFFE ID of a workload in the
// trust domain, which is written spiffe://example.org: without query, fragment,
// percent sign or empty segment (SPIFFE-ID §2).
func InTrustDomain(subject, domain string) bool {
	path, ok := strings.CutPrefix(subject, domain+"/")
	if !ok || len(subject) > 2048 {
		return false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r))
		}) {
			return false
		}
	}
	return true
}

// judgeSubject: a software statement need not have one, and then its issuer
// alone is what is trusted.
func (r *TrustRule) judgeSubject(t ForeignToken) Finding {
	switch {
	case r.For == TrustStatements && r.Subject == "":
		return Finding{"subject", true, "not looked at", orNone(t.Subject)}
	case r.For == TrustPeople && r.Subject == "":
		return Finding{"subject", t.Subject != "", "there", orNone(t.Subject)}
	}
	return Finding{"subject", r.Subject.Matches(t.Subject), string(r.Subject), t.Subject}
}

// judgeType refuses tokens that were made for something else (RFC 8725 §3.11).
func (r *TrustRule) judgeType(t ForeignToken) Finding {
	allowed := []string{"", "jwt", "jose", "client-authentication+jwt"}
	switch r.For {
	case TrustStatements:
		allowed = []string{"", "jwt"}
	case TrustPeople:
		return Finding{"type", t.Type == "oauth-id-jag+jwt", "oauth-id-jag+jwt", orNone(t.Type)}
	}
	return Finding{"type", slices.Contains(allowed, t.Type), strings.Trim(strings.Join(allowed, " "), " ") + " or none", orNone(t.Type)}
}

// judgeAudience: a token that is also meant for others could come from any of
// them (RFC 7523 §3).
func (r *TrustRule) judgeAudience(t ForeignToken, ourIssuer string) Finding {
	allowed := r.Audience
	if len(allowed) == 0 {
		allowed = []string{ourIssuer}
	}
	ok := len(t.Audience.Values) > 0 || r.For == TrustStatements && len(r.Audience) == 0 // RFC 7591 §2.3 asks for none
	for _, a := range t.Audience.Values {
		ok = ok && slices.Contains(allowed, a)
	}
	return Finding{"audience", ok, strings.Join(allowed, " "), orNone(strings.Join(t.Audience.Values, " "))}
}

func (r *TrustRule) judgeExpiry(t ForeignToken, now time.Time) Finding {
	f := Finding{Condition: "expires", Want: "exp in the future, nbf and iat not, by this clock: " + stamp(now), Got: orNone("")}
	if !t.Expires.IsZero() {
		f.Got = stamp(t.Expires)
	}
	latest := now.Add(TrustSkew)
	if t.Expires.IsZero() && r.For == TrustStatements { // a statement may hold for good
		f.OK = !t.IssuedAt.After(now.Add(TrustSkew))
		return f
	}
	f.OK = !t.Expires.IsZero() && now.Before(t.Expires.Add(TrustSkew)) && !t.IssuedAt.After(latest) && !t.NotBefore.After(latest)
	return f
}

// judgeAge: a token that was stolen long ago opens nothing, whatever exp its
// issuer gave it. Without iat it may not have that long to live.
func (r *TrustRule) judgeAge(t ForeignToken, now time.Time) Finding {
	if r.For == TrustStatements { // a program carries the same one for as long as it lives
		return Finding{"age", true, "not looked at", "not looked at"}
	}
	f := Finding{Condition: "age", Want: "at most " + r.MaxAge.String()}
	age := t.Expires.Sub(now)
	if !t.IssuedAt.IsZero() {
		age = now.Sub(t.IssuedAt)
	}
	f.OK, f.Got = age <= r.MaxAge+TrustSkew, age.Round(time.Second).String()
	return f
}

// judgeID: what can be spent once has a name (RFC 7523 §3).
func (r *TrustRule) judgeID(t ForeignToken) Finding {
	if r.Reusable || r.For == TrustStatements {
		return Finding{"jti", true, "not looked at", "not looked at"}
	}
	got := "there"
	if t.ID == "" {
		got = "missing"
	}
	return Finding{"jti", t.ID != "" && len(t.ID) <= maxForeignJTI, "there, and new", got}
}

// judgeClient: an assertion about a person says which client it is for. Whether
// that is the one that brings it, is for who has proved the client.
func judgeClient(t ForeignToken) Finding {
	ids := t.Texts("client_id")
	return Finding{"client_id", len(ids) == 1 && ids[0] != "", "there", orNone(strings.Join(ids, " "))}
}

// Holds reports whether the token meets the condition.
func (c Condition) Holds(t ForeignToken) bool { return c.judge(t).OK }

// Texts are the values of a claim as they are written: none where it is not
// there or is an object.
func (t ForeignToken) Texts(claim string) []string { return claimValues(t.Claims, claim) }

// judge finds the claim and compares it: a text, a number, true or false, or
// any element of an array of them.
func (c Condition) judge(t ForeignToken) Finding {
	values := claimValues(t.Claims, c.Claim)
	f := Finding{Condition: "claim " + c.Claim, Got: orNone(strings.Join(values, " "))}
	wants := make([]string, len(c.AnyOf))
	for i, p := range c.AnyOf {
		wants[i] = string(p)
		f.OK = f.OK || slices.ContainsFunc(values, p.Matches)
	}
	f.Want = strings.Join(wants, " or ")
	return f
}

// maxClaimValues bounds the elements of an array that are looked at.
const maxClaimValues = 500

// claimValues are the texts of a claim; none where it is not there or is an
// object.
func claimValues(claims map[string]json.RawMessage, name string) []string {
	raw := claims[name]
	if path, nested := strings.CutPrefix(name, "/"); nested {
		raw = memberAt(claims, path)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	var values []string
	for _, v := range list[:min(len(list), maxClaimValues)] {
		if text, ok := claimText(v); ok {
			values = append(values, text)
		}
	}
	return values
}

// memberAt follows a path into objects (RFC 6901 §4).
func memberAt(members map[string]json.RawMessage, path string) json.RawMessage {
	for {
		step, rest, more := strings.Cut(path, "/")
		raw := members[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
		if !more {
			return raw
		}
		members = nil
		if json.Unmarshal(raw, &members) != nil {
			return nil
		}
		path = rest
	}
}

// claimText is a single value as it is written.
func claimText(raw json.RawMessage) (string, bool) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || bytes.Equal(raw, []byte("null")):
		return "", false
	case raw[0] == '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	}
	return string(raw), true
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
