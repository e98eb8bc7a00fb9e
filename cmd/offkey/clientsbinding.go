package main

import (
	"fmt"
	"strings"
)

// bindingFlags say what the tokens of a client are bound to.
type bindingFlags struct {
	DPoPBound        *bool   `name:"dpop-bound" negatable:"" help:"Its tokens are bound to a DPoP key, always."`
	CertificateBound *bool   `name:"certificate-bound" negatable:"" help:"Its tokens are bound to its TLS certificate, always."`
	Profile          *string `placeholder:"PROFILE" help:"fapi2: held to the FAPI 2.0 Security Profile; empty for none."`
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

// certificateFlags say by which certificate a client is known.
type certificateFlags struct {
	Certificate string `name:"certificate-file" type:"path" placeholder:"FILE" help:"Its certificate (PEM), for self_signed_tls_client_auth; - is stdin."`
	TLSSubject  string `name:"tls-subject" placeholder:"SUBJECT" help:"What its certificate must say, for tls_client_auth: dn:CN=edge,O=Acme, or dns:, uri:, ip:, email: and the value."`
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
