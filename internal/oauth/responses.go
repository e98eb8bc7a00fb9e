package oauth

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

// ClientInformation is the answer to a registration (RFC 7591 §3.2.1): all that
// is registered, and what the client needs to use it.
type ClientInformation struct {
	ClientID                string `json:"client_id"`
	ClientSecret            string `json:"client_secret,omitempty"`
	ClientIDIssuedAt        int64  `json:"client_id_issued_at,omitempty"`
	ClientSecretExpiresAt   *int64 `json:"client_secret_expires_at,omitempty"`  // required beside a secret, 0 if it never does
	RegistrationAccessToken string `json:"registration_access_token,omitempty"` // RFC 7592 §3
	RegistrationClientURI   string `json:"registration_client_uri,omitempty"`   // RFC 7592 §3
	ClientMetadata
}

// DeviceResponse is the answer to a device that asks (RFC 8628 §3.2).
type DeviceResponse struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int64  `json:"expires_in"` // seconds
	Interval                int64  `json:"interval"`   // seconds
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
	Aud       []string      `json:"aud,omitempty"`
	Iss       string        `json:"iss,omitempty"`
	Jti       string        `json:"jti,omitempty"`
	Cnf       *Confirmation `json:"cnf,omitempty"`
	Acr       string        `json:"acr,omitempty"`       // RFC 9470 §6.2
	AuthTime  int64         `json:"auth_time,omitempty"` // RFC 9470 §6.2
	Act       *Actor        `json:"act,omitempty"`       // RFC 8693 §4.1
}

// Actor is who acts for a subject, with those who did before (RFC 8693 §4.1).
type Actor struct {
	Sub string `json:"sub"`
	Act *Actor `json:"act,omitempty"`
}

// Confirmation names the key that the token's user must prove to hold (RFC 7800
// §3.1).
type Confirmation struct {
	JKT     string `json:"jkt,omitempty"`      // RFC 9449 §6.1
	X5TS256 string `json:"x5t#S256,omitempty"` // RFC 8705 §3.1
}

// PushedResponse is the answer to a pushed authorization request (RFC 9126
// §2.2).
type PushedResponse struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds
}
