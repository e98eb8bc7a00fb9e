package client

import (
	"encoding/json"

	"github.com/offkey/offkey/internal/jose"
)

// The application types (OIDC Registration §2). They decide which redirect URIs
// a client may have.
const (
	Web    = "web"
	Native = "native"
)

// ProfileFAPI2 holds a client to the FAPI 2.0 Security Profile, whatever else
// its registration would allow.
const ProfileFAPI2 = "fapi2"

// Subject types (OIDC Core §8).
const (
	SubjectPublic   = "public"
	SubjectPairwise = "pairwise"
)

// Details is what a client that acts for itself leaves empty: how it takes part
// in the flows of people, what its tokens are bound to, and how it is shown. The
// names are those of its registration (RFC 7591 §2 and its extensions).
type Details struct {
	ApplicationType string   `json:"application_type,omitempty"` // Web, the default, or Native
	RedirectURIs    []string `json:"redirect_uris,omitempty"`
	// PKCEOptional lets a confidential OpenID Connect client come without
	// code_challenge. Nobody else may.
	PKCEOptional bool           `json:"pkce_optional,omitempty"`
	RequirePAR   bool           `json:"require_pushed_authorization_requests,omitempty"` // RFC 9126 §6
	RequestAlg   jose.Algorithm `json:"request_object_signing_alg,omitempty"`            // RFC 9101 §10.5: binding where it is set
	Profile      string         `json:"profile,omitempty"`                               // "" or ProfileFAPI2

	DPoPBound        bool       `json:"dpop_bound_access_tokens,omitempty"`                   // RFC 9449 §5.2
	CertificateBound bool       `json:"tls_client_certificate_bound_access_tokens,omitempty"` // RFC 8705 §3.4
	TLS              TLSSubject `json:"tls,omitzero"`                                         // of tls_client_auth

	IDTokenAlg       jose.Algorithm `json:"id_token_signed_response_alg,omitempty"` // "": RS256
	UserinfoAlg      jose.Algorithm `json:"userinfo_signed_response_alg,omitempty"` // "": userinfo is JSON
	RequestURIs      []string       `json:"request_uris,omitempty"`                 // where its signed requests may be fetched (OIDC Core §6.2)
	SubjectType      string         `json:"subject_type,omitempty"`                 // SubjectPublic, the default, or SubjectPairwise
	SectorIdentifier string         `json:"sector_identifier,omitempty"`            // the host that pairwise subjects are made for
	DefaultMaxAge    *int64         `json:"default_max_age,omitempty"`              // seconds

	PostLogoutRedirectURIs   []string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI     string   `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSession bool     `json:"backchannel_logout_session_required,omitempty"`
	InitiateLoginURI         string   `json:"initiate_login_uri,omitempty"` // OIDC Core §4

	Exchange Exchange `json:"exchange,omitzero"`

	ClientURI string   `json:"client_uri,omitempty"`
	LogoURI   string   `json:"logo_uri,omitempty"`
	PolicyURI string   `json:"policy_uri,omitempty"`
	TosURI    string   `json:"tos_uri,omitempty"`
	Contacts  []string `json:"contacts,omitempty"`

	// SectorIdentifierURI vouches for the redirect URIs (OIDC Registration §5);
	// SectorIdentifier is its host.
	SectorIdentifierURI string `json:"sector_identifier_uri,omitempty"`
	// Quarantined clients registered themselves on nobody's word: people are
	// asked each time that they have signed in.
	Quarantined bool `json:"quarantined,omitempty"`
	// Statement is the metadata that a software statement has said, and that holds
	// whatever the client says later (RFC 7591 §2.3).
	Statement json.RawMessage `json:"software_statement_metadata,omitempty"`
}

// TLSSubject is what the certificate of a tls_client_auth client must say:
// exactly one of its members is set (RFC 8705 §2.1.2).
type TLSSubject struct {
	DN    string `json:"tls_client_auth_subject_dn,omitempty"`
	DNS   string `json:"tls_client_auth_san_dns,omitempty"`
	URI   string `json:"tls_client_auth_san_uri,omitempty"`
	IP    string `json:"tls_client_auth_san_ip,omitempty"`
	Email string `json:"tls_client_auth_san_email,omitempty"`
}
