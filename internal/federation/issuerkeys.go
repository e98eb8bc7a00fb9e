package federation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// IssuerKeys are the keys of authorization servers whose access tokens open the API.
// Each issuer has its own: a key of one says nothing about tokens that name another.
// Safe for concurrent use.
type IssuerKeys struct {
	issuers *kept[issuerMetadata]
	sets    *KeySets
}

// maxIssuers bounds what is kept; operators name them.
const maxIssuers = 100

// NewIssuerKeys makes IssuerKeys that fetch through f.
func NewIssuerKeys(f *Fetcher, now func() time.Time) *IssuerKeys {
	return &IssuerKeys{issuers: newIssuers(f, maxIssuers*2, now), sets: newKeySets(f, maxIssuers, now, jose.ParseIssuerKeySet)}
}

// Of returns what finds the keys of one issuer: at jwksURI, or if that is empty where
// its metadata says, which must name that issuer (RFC 8414 §3.3). A kid that is not
// there has them fetched anew, within bounds.
func (k *IssuerKeys) Of(issuer, jwksURI string) func(ctx context.Context, kid string, alg jose.Algorithm) ([]jose.PublicKey, error) {
	return func(ctx context.Context, kid string, alg jose.Algorithm) ([]jose.PublicKey, error) {
		uri := jwksURI
		if uri == "" {
			var err error
			if uri, err = k.discover(ctx, issuer); err != nil {
				return nil, err
			}
		}
		set, err := k.sets.KeySet(ctx, uri)
		if err != nil {
			return nil, err
		}
		header := jose.Header{KeyID: kid, Alg: alg}
		if found := candidates(set, header); len(found) > 0 {
			return found, nil
		}
		if set, err = k.sets.Refresh(ctx, uri); err != nil {
			return nil, err
		}
		return slices.Clip(candidates(set, header)), nil
	}
}

// discover finds jwks_uri in OAuth's metadata or OpenID Connect's (RFC 8414 §5).
func (k *IssuerKeys) discover(ctx context.Context, issuer string) (string, error) {
	var last error
	for _, where := range [...]string{oauth.WellKnownURL(issuer, oauth.SuffixAuthorizationServer), oauth.OpenIDConfigurationURL(issuer)} {
		m, err := k.issuers.current(ctx, where)
		switch {
		case err != nil:
			last = err
			continue
		case m.Issuer != issuer:
			return "", fmt.Errorf("the metadata at %s names the issuer %q", where, m.Issuer)
		}
		return m.JWKSURI, nil
	}
	return "", last
}
