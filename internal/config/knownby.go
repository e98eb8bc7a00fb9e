package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// What http and sql have where nothing is said.
const (
	defaultKeep    = Duration(5 * time.Minute)
	defaultKeepNot = Duration(time.Minute)
)

// LookAsides are the services and tables that are asked about apikeys, with
// their defaults.
func (a APIKeys) LookAsides() (all []KnownBy) {
	for _, k := range a.KnownBy {
		if !k.looksAside() {
			continue
		}
		if k.Keep == 0 {
			k.Keep = defaultKeep
		}
		if k.KeepNot == 0 {
			k.KeepNot = defaultKeepNot
		}
		all = append(all, k)
	}
	return all
}

func (k KnownBy) looksAside() bool { return k.Type == "http" || k.Type == "sql" }

// knownBy holds what is said about one source together.
func (c *checker) knownBy(at string, k KnownBy) {
	from := k.From.Reveal()
	switch {
	case k.Type == "":
		c.add(at+".type", "is missing", "it is upstream, imported, http or sql")
	case !k.looksAside():
		if from != "" || k.Query != "" || k.Header != "" || k.Hashed || k.Keep != 0 || k.KeepNot != 0 {
			c.add(at, "has from, header, query, hashed, keep or keep_not, which are for http and sql alone", "leave them out")
		}
		return
	case from == "":
		c.add(at+".from", "is missing", "say who knows the apikeys")
	case k.Type == "http":
		if u, err := url.Parse(from); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			c.add(at+".from", "is no URL", "write it as https://keys.internal/check")
		}
		if k.Query != "" {
			c.add(at+".query", "is for sql alone", "leave it out")
		}
	default:
		if !strings.HasPrefix(from, "postgres://") && !strings.HasPrefix(from, "postgresql://") && !strings.HasPrefix(from, "sqlite://") {
			c.add(at+".from", "is neither postgres:// nor sqlite://", "write it as postgres://user:password@host:5432/database, best in a file: ${file:PATH}")
		}
		if !strings.Contains(k.Query, "$1") && !strings.Contains(k.Query, "?") {
			c.add(at+".query", "has no parameter for the apikey", "write it as select owner from api_keys where key_hash = $1")
		}
		if k.Header != "" {
			c.add(at+".header", "is for http alone", "leave it out")
		}
	}
	for name, d := range map[string]Duration{".keep": k.Keep, ".keep_not": k.KeepNot} {
		if d < 0 || time.Duration(d) > 24*time.Hour {
			c.add(at+name, fmt.Sprintf("is %s, and 24h are the most", d), "")
		}
	}
}
