package authserver_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// strings of a member of the metadata.
func listed(v any) []string {
	var all []string
	list, _ := v.([]any)
	for _, s := range list {
		all = append(all, s.(string))
	}
	return all
}

// TestWhatIsAdvertisedIsThere makes requests from the metadata: a member that
// nothing here knows how to try fails it.
func TestWhatIsAdvertisedIsThere(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(app())
	_, header := w.withSecret(site())
	c := site()
	c.ID = "signer"
	signer, key := w.withKey(c, jose.ES256)
	alice := w.signIn("pe_alice")
	alice.code(usual(), "pe_alice") // allowed for good
	endpoint := func(t *testing.T, v any) {
		t.Helper()
		u, err := url.Parse(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		if got := w.get(u.Path).status; got == http.StatusNotFound {
			t.Errorf("%v is not there", v)
		}
		if got := w.post(u.Path, nil, nil).status; got == http.StatusNotFound {
			t.Errorf("%v is not there", v)
		}
	}
	authenticates := func(t *testing.T, path string, methods []string) {
		t.Helper()
		for _, method := range methods {
			var a answer
			switch method {
			case oauth.AuthClientSecretBasic:
				a = w.post(path, header, values("token", "x", "grant_type", "x"))
			case oauth.AuthPrivateKeyJWT:
				a = w.post(path, nil, merged(w.assertion(signer.ID, key), values("token", "x", "grant_type", "x")))
			case oauth.AuthNone:
				a = w.post(path, nil, values("client_id", "app", "token", "x", "grant_type", "x"))
			case oauth.AuthClientSecretPost, oauth.AuthTLSClient, oauth.AuthSelfSignedTLSClient: // each has tests of its own
				continue
			default:
				t.Errorf("nothing tries %s", method)
			}
			if a.json["error"] == "invalid_client" {
				t.Errorf("%s at %s: %s", method, path, a.body)
			}
		}
	}
	algorithms := func(t *testing.T, v any) {
		t.Helper()
		for _, alg := range listed(v) {
			if !slices.Contains(jose.Names(jose.ClientAlgorithms), alg) {
				t.Errorf("%s is not read", alg)
			}
		}
	}
	tries := map[string]func(t *testing.T, v any){
		"issuer": func(t *testing.T, v any) {
			if v != issuerURL {
				t.Errorf("%v", v)
			}
		},
		"authorization_endpoint": endpoint, "token_endpoint": endpoint, "jwks_uri": endpoint, "registration_endpoint": endpoint, "revocation_endpoint": endpoint,
		"introspection_endpoint": endpoint, "pushed_authorization_request_endpoint": endpoint, "userinfo_endpoint": endpoint, "end_session_endpoint": endpoint,
		"device_authorization_endpoint": endpoint,
		"response_types_supported": func(t *testing.T, v any) {
			for _, responseType := range listed(v) {
				if alice.code(usual("response_type", responseType), "pe_alice") == "" {
					t.Error(responseType)
				}
			}
		},
		"response_modes_supported": func(t *testing.T, v any) {
			for _, mode := range listed(v) {
				if a := alice.authorize(usual("response_mode", mode)); !strings.Contains(a.body+a.header.Get("Location"), "offkey_ac_") {
					t.Errorf("%s: %d %s", mode, a.status, a.body)
				}
			}
		},
		"grant_types_supported": func(t *testing.T, v any) {
			for _, g := range listed(v) {
				if a := w.post("/token", header, values("grant_type", g)); a.json["error"] == "unsupported_grant_type" {
					t.Errorf("%s: %s", g, a.body)
				}
			}
		},
		"code_challenge_methods_supported": func(t *testing.T, v any) {
			if !slices.Equal(listed(v), []string{"S256"}) { // checklist_43
				t.Errorf("%v", v)
			}
		},
		"prompt_values_supported": func(t *testing.T, v any) {
			for _, p := range listed(v) {
				if a := alice.authorize(usual("prompt", p)); strings.Contains(a.header.Get("Location"), "error=invalid_request") {
					t.Error(p)
				}
			}
		},
		"acr_values_supported": func(t *testing.T, v any) {
			for _, acr := range listed(v) {
				(&visit{p: w}).authorize(usual("acr_values", acr))
				if q := w.pages.begun[len(w.pages.begun)-1]; !slices.Equal(q.Demand.ACRValues, []string{acr}) {
					t.Errorf("%s: %v", acr, q.Demand)
				}
			}
		},
		"id_token_signing_alg_values_supported": func(t *testing.T, v any) {
			for _, alg := range listed(v) { // checklist_200: each is signed with, in TestChecklist199to201
				if !slices.Contains([]string{"RS256", "PS256", "ES256", "EdDSA"}, alg) {
					t.Error(alg)
				}
			}
			if !slices.Contains(listed(v), "RS256") {
				t.Error("no RS256")
			}
		},
		"userinfo_signing_alg_values_supported": func(t *testing.T, v any) {
			for _, alg := range listed(v) {
				c := app()
				c.ID, c.UserinfoAlg = "told-by-"+alg, jose.Algorithm(alg)
				w.add(c)
				w.manager.Want(c.UserinfoAlg)
				if err := w.manager.TendWanted(t.Context()); err != nil {
					t.Fatal(err)
				}
				r := newRequest(http.MethodGet, "/userinfo", "")
				r.Header.Set("Authorization", "Bearer "+w.redeem(alice.code(usual("client_id", c.ID), "pe_alice"), nil, "client_id", c.ID).ok())
				if _, by, said := w.verified(w.do(r).body); by != c.UserinfoAlg || said["sub"] != "pe_alice" {
					t.Errorf("%s: %s %v", alg, by, said)
				}
			}
		},
		"subject_types_supported": func(t *testing.T, v any) {
			for _, subjectType := range listed(v) {
				c := app()
				c.ID, c.SubjectType = "of-"+subjectType, subjectType
				w.add(c)
				a := w.redeem(alice.code(usual("client_id", c.ID), "pe_alice"), nil, "client_id", c.ID)
				if pairwise := claims(t, a.ok())["sub"] != "pe_alice"; pairwise != (subjectType == client.SubjectPairwise) {
					t.Error(subjectType)
				}
			}
		},
		"scopes_supported": func(t *testing.T, v any) {
			may := directory.MayGrant()
			for _, scope := range listed(v) {
				if !may.Has(scope) {
					t.Errorf("%s is of nobody", scope)
				}
			}
		},
		"claims_supported": func(t *testing.T, v any) {
			protocol := []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid"}
			a := w.redeem(alice.code(usual("nonce", "n"), "pe_alice"), nil)
			id := claims(t, a.text("id_token"))
			for _, name := range listed(v) {
				if slices.Contains(protocol, name) == (id[name] == nil) || !slices.Contains(protocol, name) && directory.ScopeOf(name) == "" {
					t.Error(name)
				}
			}
		},
		"request_object_signing_alg_values_supported": func(t *testing.T, v any) {
			for _, alg := range listed(v) {
				if alg == "Ed25519" {
					continue // another name of EdDSA, which jose reads
				}
				c := site()
				c.ID = "by-" + alg
				_, key := w.withKey(c, jose.Algorithm(alg))
				if a := alice.authorize(values("client_id", c.ID, "request", object(t, key, "", asClaims(usual("client_id", c.ID))))); a.status != http.StatusSeeOther {
					t.Errorf("%s: %d %s", alg, a.status, a.body)
				}
			}
		},
		"request_parameter_supported": func(t *testing.T, v any) {
			if v != true {
				t.Error(v)
			}
		},
		"request_uri_parameter_supported": func(t *testing.T, v any) {
			if v != false {
				t.Error(v)
			}
			alice.authorize(usual("request_uri", "https://client.example/r")).failed("request_uri_not_supported", "")
		},
		"claims_parameter_supported": func(t *testing.T, v any) {
			if v != true {
				t.Error(v)
			}
		},
		"authorization_response_iss_parameter_supported": func(t *testing.T, v any) {
			if v != true {
				t.Error(v)
			}
			alice.authorize(usual()).sentTo(redirectURI)
		},
		"backchannel_logout_supported": func(t *testing.T, v any) {
			if v != true {
				t.Error(v)
			}
		},
		"backchannel_logout_session_supported": func(t *testing.T, v any) {
			a := w.redeem(alice.code(usual(), "pe_alice"), nil)
			if v != true || claims(t, a.text("id_token"))["sid"] == nil {
				t.Error(v)
			}
		},
		"token_endpoint_auth_methods_supported":                    func(t *testing.T, v any) { authenticates(t, "/token", listed(v)) },
		"revocation_endpoint_auth_methods_supported":               func(t *testing.T, v any) { authenticates(t, "/revoke", listed(v)) },
		"introspection_endpoint_auth_methods_supported":            func(t *testing.T, v any) { authenticates(t, "/introspect", listed(v)) },
		"token_endpoint_auth_signing_alg_values_supported":         algorithms,
		"revocation_endpoint_auth_signing_alg_values_supported":    algorithms,
		"introspection_endpoint_auth_signing_alg_values_supported": algorithms,
		"dpop_signing_alg_values_supported":                        algorithms,
		"introspection_signing_alg_values_supported":               algorithms,
		"protected_resources": func(t *testing.T, v any) {
			for _, r := range listed(v) {
				if alice.code(usual("resource", r), "pe_alice") == "" {
					t.Error(r)
				}
			}
		},
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		m := w.get(path)
		if m.body != w.get("/.well-known/openid-configuration").body {
			t.Errorf("%s says something else", path)
		}
		for name, value := range m.json {
			if path != "/.well-known/openid-configuration" {
				break // it was tried
			}
			t.Run("checklist_161 "+name, func(t *testing.T) {
				w.t = t
				try, known := tries[name]
				if !known {
					t.Fatalf("nothing tries %s", name)
				}
				try(t, value)
			})
		}
		for _, required := range []string{ // OIDC Discovery §3
			"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported",
			"userinfo_endpoint", "code_challenge_methods_supported",
		} {
			if m.json[required] == nil {
				t.Errorf("checklist_43: %s has no %s", path, required)
			}
		}
		if methods := listed(m.json["token_endpoint_auth_methods_supported"]); !slices.Contains(methods, "none") {
			t.Errorf("checklist_162: %v", methods)
		}
	}
}

func TestMetadataOfAPathIssuerWithPeople(t *testing.T) {
	const issuer = issuerURL + "/tenant/a"
	w := newPeopleWorld(t, func(o *authserver.Options) { o.Issuer, o.RequirePAR = issuer, true })
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/tenant/a", "/.well-known/openid-configuration/tenant/a",
		"/tenant/a/.well-known/openid-configuration", "/tenant/a/.well-known/oauth-authorization-server",
	} {
		m := w.get(path).json
		if m["issuer"] != issuer || m["authorization_endpoint"] != issuer+"/authorize" || m["userinfo_endpoint"] != issuer+"/userinfo" || m["end_session_endpoint"] != issuer+"/logout" {
			t.Errorf("checklist_159 %s: %v", path, m)
		}
		if m["require_pushed_authorization_requests"] != true {
			t.Errorf("checklist_140 %s: %v", path, m["require_pushed_authorization_requests"])
		}
	}
}
