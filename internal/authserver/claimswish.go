package authserver

import (
	"encoding/json"
	"slices"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// The bounds of the claims parameter.
const (
	maxClaimsBytes = 4 << 10
	maxClaims      = 50 // in each of its halves
	maxClaimName   = 64
)

// claimsWish is the claims parameter as far as it is heard (OIDC Core §5.5).
type claimsWish struct {
	IDToken  []string `json:"id_token,omitempty"`
	Userinfo []string `json:"userinfo,omitempty"`
	ACR      acrWish  `json:"acr,omitzero"` // of the ID token
	Subject  string   `json:"sub,omitempty"`
}

func (w claimsWish) requested() token.RequestedClaims {
	return token.RequestedClaims{IDToken: w.IDToken, Userinfo: w.Userinfo}
}

// oneClaim is how a claim is asked for (OIDC Core §5.5.1).
type oneClaim struct {
	Essential bool            `json:"essential"`
	Value     json.RawMessage `json:"value"`
	Values    json.RawMessage `json:"values"`
}

// readClaims reads the claims parameter. Members that are not known are passed
// over; what is no JSON object is refused.
func readClaims(raw string) (claimsWish, error) {
	if raw == "" {
		return claimsWish{}, nil
	}
	if len(raw) > maxClaimsBytes {
		return claimsWish{}, oauth.InvalidRequest("claims is longer than 4096 bytes")
	}
	var halves struct {
		IDToken  json.RawMessage `json:"id_token"`
		Userinfo json.RawMessage `json:"userinfo"`
	}
	if err := jose.DecodeClaims([]byte(raw), &halves); err != nil {
		return claimsWish{}, errClaims.WithCause(err)
	}
	idToken, err := readClaimsHalf(halves.IDToken)
	if err != nil {
		return claimsWish{}, err
	}
	userinfo, err := readClaimsHalf(halves.Userinfo)
	if err != nil {
		return claimsWish{}, err
	}
	w := claimsWish{IDToken: namesOf(idToken), Userinfo: namesOf(userinfo)}
	acr := idToken["acr"]
	w.ACR = acrWish{Values: append(texts(acr.Values), texts(acr.Value)...), Essential: acr.Essential}
	for _, half := range []map[string]oneClaim{userinfo, idToken} {
		if sub := texts(half["sub"].Value); len(sub) > 0 {
			w.Subject = sub[0]
		}
	}
	return w, nil
}

var errClaims = oauth.InvalidRequest("claims must be a JSON object with id_token and userinfo, each an object of claim names and null or {essential, value, values}")

func readClaimsHalf(raw json.RawMessage) (map[string]oneClaim, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var members map[string]json.RawMessage
	if err := jose.DecodeClaims(raw, &members); err != nil {
		return nil, errClaims.WithCause(err)
	}
	if len(members) > maxClaims {
		return nil, oauth.InvalidRequest("claims asks for more than 50 claims")
	}
	half := make(map[string]oneClaim, len(members))
	for name, member := range members {
		if len(name) > maxClaimName {
			continue
		}
		var c oneClaim
		if string(member) != "null" {
			if err := jose.DecodeClaims(member, &c); err != nil {
				return nil, errClaims.WithCause(err)
			}
		}
		half[name] = c
	}
	return half, nil
}

// texts reads a string or an array of strings.
func texts(raw json.RawMessage) []string {
	var many []string
	var one string
	switch {
	case len(raw) == 0 || string(raw) == "null":
	case json.Unmarshal(raw, &many) == nil:
		return firstFew(many, maxACRValues)
	case json.Unmarshal(raw, &one) == nil && one != "":
		return []string{one}
	}
	return nil
}

func namesOf(half map[string]oneClaim) []string {
	var names []string
	for name := range half {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
