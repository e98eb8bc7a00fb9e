package authserver

import (
	"slices"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// The rules of the FAPI 2.0 Security Profile, for clients that are registered
// with profile fapi2, whatever else their registration allows. That the audience
// of an assertion is the issuer as one string is held where assertions are
// checked (client.TakesCompat).

// checkFAPIToken holds a token request to the profile.
func checkFAPIToken(who clientauth.Authenticated, from sender, bound token.Confirmation) error {
	if who.Client().Profile != client.ProfileFAPI2 {
		return nil
	}
	if err := checkFAPIClient(who); err != nil {
		return err
	}
	return checkFAPIBound(from, bound)
}

// fapiAlgorithms may sign what a client sends (FAPI 2.0 Security Profile §5.4.1).
var fapiAlgorithms = []jose.Algorithm{jose.PS256, jose.ES256, jose.EdDSA}

// checkFAPIClient: the client proves itself by private_key_jwt or mutual TLS
// (FAPI 2.0 Security Profile §5.3.2.1).
func checkFAPIClient(who clientauth.Authenticated) error {
	switch who.Method() {
	case oauth.AuthTLSClient, oauth.AuthSelfSignedTLSClient:
		return nil
	case oauth.AuthPrivateKeyJWT:
		if !slices.Contains(fapiAlgorithms, who.Alg()) {
			return oauth.InvalidClient("the FAPI 2.0 profile of this client asks for an assertion signed by PS256, ES256 or EdDSA")
		}
		return nil
	}
	return oauth.UnauthorizedClient("the FAPI 2.0 profile of this client asks for private_key_jwt or mutual TLS")
}

// checkFAPIBound: the tokens are of no use to others (FAPI 2.0 Security Profile
// §5.3.2.1).
func checkFAPIBound(from sender, bound token.Confirmation) error {
	switch {
	case from.proof != nil && !slices.Contains(fapiAlgorithms, from.proof.Alg):
		return oauth.InvalidDPoPProof("the FAPI 2.0 profile of this client asks for a DPoP proof signed by PS256, ES256 or EdDSA")
	case !bound.Bound():
		return oauth.InvalidRequest("the FAPI 2.0 profile of this client asks for tokens that are bound to their holder: send a DPoP proof, or come with a TLS certificate")
	}
	return nil
}
