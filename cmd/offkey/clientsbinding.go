package main

import (
	"fmt"
	"strings"

	"github.com/offkey/offkey/internal/config"
)

// bindingFlags say what the tokens of a client are bound to.
type bindingFlags struct {
	DPoPBound        *bool   `name:"dpop-bound" negatable:"" help:"Its tokens are bound to a DPoP key, always."`
	CertificateBound *bool   `name:"certificate-bound" negatable:"" help:"Its tokens are bound to its certificate."`
	Profile          *string `placeholder:"PROFILE" help:"fapi2: held to the FAPI 2.0 profile."`
}

// bind puts them into the body of a request.
func (f bindingFlags) bind(body map[string]any) {
	if f.DPoPBound != nil {
		body["dpop_bound_access_tokens"] = *f.DPoPBound
	}
	if f.CertificateBound != nil {
		body["tls_client_certificate_bound_access_tokens"] = *f.CertificateBound
	}
	if f.Profile != nil {
		body["profile"] = *f.Profile
	}
}

// peopleFlags are for clients that act for people.
type peopleFlags struct {
	Grant         []string `sep:"none" placeholder:"GRANT" help:"A grant, as in authorization_code, refresh_token or device_code; repeat for several."`
	RedirectURI   []string `name:"redirect-uri" sep:"none" placeholder:"URI" help:"Where responses go, exactly; repeat for more."`
	PostLogoutURI []string `name:"logout-redirect-uri" sep:"none" placeholder:"URI" help:"Where browsers may go after signing out."`
	LogoutURI     *string  `name:"logout-notice-uri" placeholder:"URI" help:"Told when a session ends."`
	Type          *string  `placeholder:"TYPE" help:"web or native. Default: by its redirect URIs."`
	PKCE          *string  `name:"pkce" placeholder:"POLICY" help:"required (default) or optional."`
	PAR           *bool    `name:"par-required" negatable:"" help:"Its authorization requests must be pushed."`
}

// actForPeople puts them into the body of a request.
func (f peopleFlags) actForPeople(body map[string]any) error {
	var grants []string
	for _, name := range f.Grant {
		g := config.GrantType(name)
		if g == "" {
			return wrongUsage(fmt.Sprintf("--grant %q is no grant", name), "use authorization_code, refresh_token, device_code, client_credentials, token_exchange or jwt_bearer")
		}
		grants = append(grants, g)
	}
	for member, list := range map[string][]string{"grants": grants, "redirect_uris": f.RedirectURI, "post_logout_redirect_uris": f.PostLogoutURI} {
		if len(list) > 0 {
			body[member] = list
		}
	}
	for member, value := range map[string]*string{"backchannel_logout_uri": f.LogoutURI, "application_type": f.Type} {
		if value != nil {
			body[member] = *value
		}
	}
	if f.PAR != nil {
		body["require_pushed_authorization_requests"] = *f.PAR
	}
	switch {
	case f.PKCE == nil:
	case *f.PKCE == "optional" || *f.PKCE == "required":
		body["pkce_optional"] = *f.PKCE == "optional"
	default:
		return wrongUsage(fmt.Sprintf("--pkce %q is neither required nor optional", *f.PKCE), "leave it out: required is the default")
	}
	return nil
}

// certificateFlags say by which certificate a client is known.
type certificateFlags struct {
	Certificate string `name:"certificate-file" type:"path" placeholder:"FILE" help:"Its own certificate (PEM); - is stdin."`
	TLSSubject  string `name:"tls-subject" placeholder:"SUBJECT" help:"What its certificate says: dn:CN=edge, or dns:, uri:, ip:, email: and the value."`
}

// prove puts them into the body of a request.
func (f certificateFlags) prove(t *terminal, body map[string]any) error {
	if f.TLSSubject != "" {
		kind, value, _ := strings.Cut(f.TLSSubject, ":")
		member := map[string]string{
			"dn": "tls_client_auth_subject_dn", "dns": "tls_client_auth_san_dns", "uri": "tls_client_auth_san_uri",
			"ip": "tls_client_auth_san_ip", "email": "tls_client_auth_san_email",
		}[kind]
		if member == "" || value == "" {
			return wrongUsage(fmt.Sprintf("--tls-subject %q does not say what it is", f.TLSSubject), "write dn:, dns:, uri:, ip: or email: before the value")
		}
		body["tls"] = map[string]string{member: value}
	}
	if f.Certificate != "" {
		certificate, err := t.readInput(f.Certificate, maxJWKS)
		if err != nil {
			return err
		}
		body["certificate"] = string(certificate)
	}
	return nil
}
