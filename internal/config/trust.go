package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/secret"
)

// Trust lets tokens of another issuer stand for something.
type Trust struct {
	For      string              `yaml:"for" doc:"client:ID: whoever has such a token is that client. statements: they vouch for clients that register. people: they let clients with the grant jwt_bearer act for people who sign in there. signin:NAME: people sign in there, by OpenID Connect; the redirect URI is issuer, then /upstream/NAME."`
	From     string              `yaml:"from" doc:"github:ORG/REPO[:CONTEXT], gitlab:GROUP/PROJECT[:CONTEXT], kubernetes:ISSUER_URL, spiffe://TRUST_DOMAIN[/PATH], or the https URL of an issuer."`
	Keys     string              `yaml:"keys" doc:"File with the issuer's public keys, or https URL of its keys or SPIFFE bundle. Default: found by the issuer's metadata."`
	Audience []string            `yaml:"audience" doc:"Audiences that a token may have, all of them. Default: issuer. With signin: the client_id of offkey there."`
	Where    map[string][]string `yaml:"where" doc:"Claims and the values allowed; * stands for a part without : and /. All claims must match. sub here replaces the one that from implies."`
	Secret   secret.Text         `yaml:"secret" doc:"With signin: the client_secret of offkey there, best as ${file:PATH}."`
	Groups   map[string]string   `yaml:"groups" doc:"With signin: from values of the claim groups to groups of offkey, as in {platform-team: staff}."`
}

// Rule is the setting as a trust rule, named name.
func (t Trust) Rule(l *Loaded, name string) (client.TrustRule, error) {
	r, err := client.TrustFrom(t.From)
	if err != nil {
		return r, err
	}
	r.ID, r.Name, r.Source, r.Audience = name, name, client.SourceFile, t.Audience
	purpose, id, _ := strings.Cut(t.For, ":")
	if r.For, r.ClientID = purpose, id; purpose == client.TrustPeople {
		r.MaxAge = client.PeopleAge
	}
	for _, claim := range slices.Sorted(maps.Keys(t.Where)) {
		var values []client.Pattern
		for _, v := range t.Where[claim] {
			values = append(values, client.Pattern(v))
		}
		r.Where = slices.DeleteFunc(r.Where, func(c client.Condition) bool { return c.Claim == claim })
		if claim == "sub" && len(values) == 1 {
			r.Subject = values[0]
			continue
		}
		r.Where = append(r.Where, client.Condition{Claim: claim, AnyOf: values})
	}
	switch {
	case strings.HasPrefix(t.Keys, "https://"), strings.HasPrefix(t.Keys, "http://"):
		r.JWKSURI = t.Keys
	case t.Keys != "":
		if r.Keys, err = readKeys(l.Path(t.Keys), r.Kind); err != nil {
			return r, err
		}
	}
	return r, r.Check()
}

func readKeys(path, kind string) (jose.KeySet, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return jose.KeySet{}, err
	}
	parse := jose.ParseIssuerKeySet
	if kind == client.TrustSPIFFE {
		parse = jose.ParseBundle
	}
	set, err := parse(raw)
	if err != nil {
		return jose.KeySet{}, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}

// TrustRules are the rules of the file.
func (l *Loaded) TrustRules() ([]*client.TrustRule, error) {
	var rules []*client.TrustRule
	for i, t := range l.Trust {
		if _, signIn := t.signIn(); signIn {
			continue
		}
		r, err := t.Rule(l, trustName(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", trustName(i), err)
		}
		rules = append(rules, &r)
	}
	return rules, nil
}

func trustName(i int) string { return fmt.Sprintf("trust[%d]", i) }

func (c *checker) trust() {
	names := map[string]bool{}
	for i, t := range c.l.Trust {
		name, signIn := t.signIn()
		switch {
		case signIn && names[name]:
			c.add(trustName(i)+".for", fmt.Sprintf("repeats the provider %q", name), "")
		case signIn:
			c.signIn(trustName(i), name, t)
			names[name] = true
			continue
		case !t.Secret.IsZero() || len(t.Groups) > 0:
			c.add(trustName(i), "has secret or groups, which are for signin alone", "leave them out")
		}
		if _, err := t.Rule(c.l, trustName(i)); err != nil {
			c.add(trustName(i), "cannot be used: "+err.Error(), "")
		}
	}
}

// signIn is the name of a provider where people sign in.
func (t Trust) signIn() (name string, ok bool) { return strings.CutPrefix(t.For, "signin:") }

// SignIn is an OpenID provider where people sign in.
type SignIn struct {
	Name, Issuer, ClientID string
	Secret                 secret.Text
	Where                  []client.Condition
	Groups                 map[string]string // from values of the claim groups
}

// SignIns are the providers of the file.
func (l *Loaded) SignIns() []SignIn {
	var all []SignIn
	for _, t := range l.Trust {
		name, ok := t.signIn()
		if !ok {
			continue
		}
		s := SignIn{Name: name, Issuer: t.From, ClientID: strings.Join(t.Audience, " "), Secret: t.Secret, Groups: t.Groups}
		for _, claim := range slices.Sorted(maps.Keys(t.Where)) {
			c := client.Condition{Claim: claim}
			for _, v := range t.Where[claim] {
				c.AnyOf = append(c.AnyOf, client.Pattern(v))
			}
			s.Where = append(s.Where, c)
		}
		all = append(all, s)
	}
	return all
}

func (c *checker) signIn(at, name string, t Trust) {
	c.identifier(at+".from", t.From)
	switch {
	case name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		c.add(at+".for", fmt.Sprintf("names the provider %q", name), "use lower-case letters, digits and -: it is part of a URL")
	case t.From == c.l.Issuer:
		c.add(at+".from", "is offkey itself", "")
	case len(t.Audience) != 1 || t.Audience[0] == "":
		c.add(at+".audience", "is not the one client_id of offkey at the provider", "register offkey there, with the redirect URI that ends in /upstream/"+name)
	case t.Secret.IsZero():
		c.add(at+".secret", "is missing", "it is the client_secret that the provider gave, best as ${file:PATH}")
	case t.Keys != "":
		c.add(at+".keys", "is for tokens of workloads", "leave it out: the provider says where its keys are")
	}
}
