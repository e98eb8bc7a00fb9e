package federation

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// issuerMetadata is what an issuer says of itself, as far as it is read here
// (OIDC Discovery §3).
type issuerMetadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	ResponseIssuer        bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
}

// newIssuers makes a cache of metadata. It changes less often than keys do.
func newIssuers(f *Fetcher, capacity int, now func() time.Time) *kept[issuerMetadata] {
	return &kept[issuerMetadata]{
		what: "issuer metadata", accept: "application/json", fetcher: f, now: now, capacity: capacity,
		bounds: keyBounds, byURI: make(map[string]*entry[issuerMetadata]),
		parse: func(_ string, doc Document) (issuerMetadata, error) { return parseIssuer(doc.Body) },
	}
}

func parseIssuer(raw []byte) (issuerMetadata, error) {
	var m issuerMetadata
	if !json.Valid(raw) {
		return m, errors.New("not JSON")
	}
	if err := jose.DecodeClaims(raw, &m); err != nil {
		return m, err
	}
	if m.Issuer == "" || m.JWKSURI == "" {
		return m, errors.New("issuer or jwks_uri is missing")
	}
	return m, nil
}
