package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"
)

// maxClientMetadata bounds a registration request, in bytes.
const maxClientMetadata = 64 << 10

// ClientMetadata is what a client says of itself when it registers (RFC 7591 §2
// and the extensions named beside the members).
type ClientMetadata struct {
	RedirectURIs            []string        `json:"redirect_uris,omitempty"`
	TokenEndpointAuthMethod string          `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes              []string        `json:"grant_types,omitempty"`
	ResponseTypes           []string        `json:"response_types,omitempty"`
	ClientName              string          `json:"client_name,omitempty"`
	ClientURI               string          `json:"client_uri,omitempty"`
	LogoURI                 string          `json:"logo_uri,omitempty"`
	Scope                   string          `json:"scope,omitempty"`
	Contacts                []string        `json:"contacts,omitempty"`
	TosURI                  string          `json:"tos_uri,omitempty"`
	PolicyURI               string          `json:"policy_uri,omitempty"`
	JWKSURI                 string          `json:"jwks_uri,omitempty"`
	JWKS                    json.RawMessage `json:"jwks,omitempty"` // as sent: for jose.ParseKeySet
	SoftwareID              string          `json:"software_id,omitempty"`
	SoftwareVersion         string          `json:"software_version,omitempty"`
	SoftwareStatement       string          `json:"software_statement,omitempty"`

	TokenEndpointAuthSigningAlg           string `json:"token_endpoint_auth_signing_alg,omitempty"`
	ApplicationType                       string `json:"application_type,omitempty"`
	DPoPBoundAccessTokens                 bool   `json:"dpop_bound_access_tokens,omitempty"`                   // RFC 9449 §5.2
	TLSClientCertificateBoundAccessTokens bool   `json:"tls_client_certificate_bound_access_tokens,omitempty"` // RFC 8705 §3.4
	TLSClientAuthSubjectDN                string `json:"tls_client_auth_subject_dn,omitempty"`                 // RFC 8705 §2.1.2
	TLSClientAuthSANDNS                   string `json:"tls_client_auth_san_dns,omitempty"`
	TLSClientAuthSANURI                   string `json:"tls_client_auth_san_uri,omitempty"`
	TLSClientAuthSANIP                    string `json:"tls_client_auth_san_ip,omitempty"`
	TLSClientAuthSANEmail                 string `json:"tls_client_auth_san_email,omitempty"`
	RequirePushedAuthorizationRequests    bool   `json:"require_pushed_authorization_requests,omitempty"` // RFC 9126 §6

	PostLogoutRedirectURIs           []string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI             string   `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSessionRequired bool     `json:"backchannel_logout_session_required,omitempty"`
	InitiateLoginURI                 string   `json:"initiate_login_uri,omitempty"`
	IDTokenSignedResponseAlg         string   `json:"id_token_signed_response_alg,omitempty"`
	UserinfoSignedResponseAlg        string   `json:"userinfo_signed_response_alg,omitempty"`
	RequestURIs                      []string `json:"request_uris,omitempty"`
	RequestObjectSigningAlg          string   `json:"request_object_signing_alg,omitempty"` // RFC 9101 §10.5
	SubjectType                      string   `json:"subject_type,omitempty"`
	SectorIdentifierURI              string   `json:"sector_identifier_uri,omitempty"`
	DefaultMaxAge                    *int64   `json:"default_max_age,omitempty"`
}

// clientMembers are the names that ClientMetadata reads.
var clientMembers = func() map[string]bool {
	names := make(map[string]bool)
	for field := range reflect.TypeFor[ClientMetadata]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}()

// ParseClientMetadata reads a registration request. Unknown members are ignored
// (RFC 7591 §2), those among them that differ from a known one in letter case
// only. jwks beside jwks_uri, a wrong type, a member given twice and anything
// but one JSON object are invalid_client_metadata. Redirect URIs, the method
// and the keys are judged by those who know the policy.
func ParseClientMetadata(raw []byte) (ClientMetadata, error) {
	if len(raw) > maxClientMetadata {
		return ClientMetadata{}, InvalidClientMetadata("the client metadata is longer than 64 KiB")
	}
	known, err := knownMembers(raw)
	if err != nil {
		return ClientMetadata{}, err
	}
	var m ClientMetadata
	if err := json.Unmarshal(known, &m); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			kind, _, _ := strings.Cut(wrong.Value, " ") // without the value itself
			return ClientMetadata{}, InvalidClientMetadata(fmt.Sprintf("member '%s' must not be a JSON %s", wrong.Field, kind)).WithCause(err)
		}
		return ClientMetadata{}, errNotJSON.WithCause(err)
	}
	if bytes.Equal(m.JWKS, []byte("null")) {
		m.JWKS = nil
	}
	if m.JWKS != nil && m.JWKSURI != "" {
		return ClientMetadata{}, InvalidClientMetadata("jwks and jwks_uri must not both be given: RFC 7591 section 2")
	}
	return m, nil
}

var (
	errNotObject = InvalidClientMetadata("the client metadata is not a JSON object")
	errNotJSON   = InvalidClientMetadata("the client metadata is not valid JSON")
)

// knownMembers returns the object with those members of raw that ClientMetadata
// reads. A member given twice is refused, since readers differ on which of the
// two they take.
func knownMembers(raw []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	members := make(map[string]json.RawMessage)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, errNotJSON
		}
		if _, twice := members[name]; twice {
			return nil, InvalidClientMetadata("a member of the client metadata is given twice")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errNotJSON.WithCause(err)
		}
		members[name] = value
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, errNotJSON
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, InvalidClientMetadata("something follows the JSON object of the client metadata")
	}
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return !clientMembers[name] })
	return json.Marshal(members)
}
