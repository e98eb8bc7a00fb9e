package config

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
)

// Trust lets tokens of another issuer stand for something.
type Trust struct {
	For      string              `yaml:"for" doc:"client:ID: whoever has such a token is that client. statements: they vouch for clients that register."`
	From     string              `yaml:"from" doc:"github:ORG/REPO[:CONTEXT], gitlab:GROUP/PROJECT[:CONTEXT], kubernetes:ISSUER_URL, spiffe://TRUST_DOMAIN[/PATH], or the https URL of an issuer."`
	Keys     string              `yaml:"keys" doc:"File with the issuer's public keys, or https URL of its keys or SPIFFE bundle. Default: found by the issuer's metadata."`
	Audience []string            `yaml:"audience" doc:"Audiences that a token may have, all of them. Default: issuer."`
	Where    map[string][]string `yaml:"where" doc:"Claims and the values allowed; * stands for a part without : and /. All claims must match. sub here replaces the one that from implies."`
}

// Rule is the setting as a trust rule, named name.
func (t Trust) Rule(l *Loaded, name string) (client.TrustRule, error) {
	r, err := client.TrustFrom(t.From)
	if err != nil {
		return r, err
	}
	r.ID, r.Name, r.Source, r.Audience = name, name, client.SourceFile, t.Audience
	purpose, id, _ := strings.Cut(t.For, ":")
	r.For, r.ClientID = purpose, id
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
	rules := make([]*client.TrustRule, len(l.Trust))
	for i, t := range l.Trust {
		r, err := t.Rule(l, trustName(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", trustName(i), err)
		}
		rules[i] = &r
	}
	return rules, nil
}

func trustName(i int) string { return fmt.Sprintf("trust[%d]", i) }

func (c *checker) trust() {
	for i, t := range c.l.Trust {
		if _, err := t.Rule(c.l, trustName(i)); err != nil {
			c.add(trustName(i), "cannot be used: "+err.Error(), "")
		}
	}
}
