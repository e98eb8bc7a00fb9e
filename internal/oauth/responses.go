package oauth

import (
	"encoding/json"
)

// TokenResponse is the answer of the token endpoint (RFC 6749 §5.1).
type TokenResponse struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type,omitempty"` // RFC 8693 §2.2.1
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in,omitempty"` // seconds
	RefreshToken    string `json:"refresh_token,omitempty"`
	Scope           string `json:"scope,omitempty"`
	IDToken         string `json:"id_token,omitempty"`
}

// ErrorResponse is the JSON of an error answer (RFC 6749 §5.2).
type ErrorResponse struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
	URI         string `json:"error_uri,omitempty"`
}

// IntrospectionResponse is the answer of the introspection endpoint
// (RFC 7662 §2.2). An inactive one holds nothing but that.
type IntrospectionResponse struct {
	Active    bool          `json:"active"`
	Scope     string        `json:"scope,omitempty"`
	ClientID  string        `json:"client_id,omitempty"`
	Username  string        `json:"username,omitempty"`
	TokenType string        `json:"token_type,omitempty"`
	Exp       int64         `json:"exp,omitempty"`
	Iat       int64         `json:"iat,omitempty"`
	Nbf       int64         `json:"nbf,omitempty"`
	Sub       string        `json:"sub,omitempty"`
	Aud       Audience      `json:"aud,omitempty"`
	Iss       string        `json:"iss,omitempty"`
	Jti       string        `json:"jti,omitempty"`
	Cnf       *Confirmation `json:"cnf,omitempty"`
	Acr       string        `json:"acr,omitempty"`       // RFC 9470 §6.2
	AuthTime  int64         `json:"auth_time,omitempty"` // RFC 9470 §6.2
}

// Audience is an aud value to write: one as a string, several as an array.
type Audience []string

// MarshalJSON writes either form (RFC 7519 §4.1.3).
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON reads either form.
func (a *Audience) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil && string(raw) != "null" {
		*a = Audience{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// Confirmation names the key that the token's user must prove to hold (RFC 7800
// §3.1).
type Confirmation struct {
	JKT     string `json:"jkt,omitempty"`      // RFC 9449 §6.1
	X5TS256 string `json:"x5t#S256,omitempty"` // RFC 8705 §3.1
}
