package oauth

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestWellKnownURL(t *testing.T) {
	for _, tc := range []struct{ name, identifier, suffix, want string }{
		{"checklist_159 first example of RFC 8414 section 3.1", "https://example.com", SuffixAuthorizationServer, "https://example.com/.well-known/oauth-authorization-server"},
		{"checklist_159 second example of RFC 8414 section 3.1", "https://example.com/issuer1", SuffixAuthorizationServer, "https://example.com/.well-known/oauth-authorization-server/issuer1"},
		{"checklist_164 first example of RFC 9728 section 3.1", "https://resource.example.com", SuffixProtectedResource, "https://resource.example.com/.well-known/oauth-protected-resource"},
		{"checklist_164 second example of RFC 9728 section 3.1", "https://resource.example.com/resource1", SuffixProtectedResource, "https://resource.example.com/.well-known/oauth-protected-resource/resource1"},
		{"checklist_159 slash after the host", "https://example.com/", SuffixAuthorizationServer, "https://example.com/.well-known/oauth-authorization-server"},
		{"checklist_159 slash after the path", "https://example.com/a/", SuffixAuthorizationServer, "https://example.com/.well-known/oauth-authorization-server/a"},
		{"checklist_159 path of two segments", "https://example.com/a/b", SuffixAuthorizationServer, "https://example.com/.well-known/oauth-authorization-server/a/b"},
		{"checklist_159 port", "http://127.0.0.1:8485/a", SuffixAuthorizationServer, "http://127.0.0.1:8485/.well-known/oauth-authorization-server/a"},
		{"checklist_159 openid-configuration, inserted as MCP clients try it", "https://example.com/a", SuffixOpenIDConfiguration, "https://example.com/.well-known/openid-configuration/a"},
		{"checklist_164 query", "https://api.example.com/v1?tenant=7", SuffixProtectedResource, "https://api.example.com/.well-known/oauth-protected-resource/v1?tenant=7"},
		{"checklist_164 query without path", "https://api.example.com?a=/b", SuffixProtectedResource, "https://api.example.com/.well-known/oauth-protected-resource?a=/b"},
		{"checklist_164 query after a slash", "https://api.example.com/?a", SuffixProtectedResource, "https://api.example.com/.well-known/oauth-protected-resource?a"},
		{"nothing is decoded", "https://example.com/a%2Fb", SuffixAuthorizationServer, "https://example.com/.well-known/oauth-authorization-server/a%2Fb"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := WellKnownURL(tc.identifier, tc.suffix); got != tc.want {
				t.Errorf("got %s", got)
			}
		})
	}
	for issuer, want := range map[string]string{
		"https://example.com":          "https://example.com/.well-known/openid-configuration",
		"https://example.com/":         "https://example.com/.well-known/openid-configuration",
		"https://example.com/issuer1":  "https://example.com/issuer1/.well-known/openid-configuration",
		"https://example.com/issuer1/": "https://example.com/issuer1/.well-known/openid-configuration",
	} {
		t.Run("checklist_159 OpenID Connect appends to "+issuer, func(t *testing.T) {
			if got := OpenIDConfigurationURL(issuer); got != want {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestMetadataIsAbsentRatherThanNull(t *testing.T) {
	t.Run("checklist_160 only what is required", func(t *testing.T) {
		for want, doc := range map[string]any{
			`{"issuer":"https://a.example","response_types_supported":[]}`:       ServerMetadata{Issuer: "https://a.example"},
			`{"issuer":"https://b.example","response_types_supported":["code"]}`: &ServerMetadata{Issuer: "https://b.example", ResponseTypesSupported: []string{"code"}, GrantTypesSupported: []string{}},
			`{"resource":"https://api.example"}`:                                 ResourceMetadata{Resource: "https://api.example", ScopesSupported: []string{}},
			`{"active":false}`:                                                   IntrospectionResponse{},
			`{"access_token":"a","token_type":"Bearer"}`:                         TokenResponse{AccessToken: "a", TokenType: "Bearer"},
			`{}`: ClientMetadata{},
		} {
			if raw, err := json.Marshal(doc); err != nil || string(raw) != want {
				t.Errorf("got %s, %v, want %s", raw, err, want)
			}
		}
	})
	t.Run("checklist_160 each member has a type that JSON and the specification share", func(t *testing.T) {
		for _, typ := range []reflect.Type{reflect.TypeFor[ServerMetadata](), reflect.TypeFor[ResourceMetadata](), reflect.TypeFor[MTLSEndpoints]()} {
			seen := map[string]bool{}
			for field := range typ.Fields() {
				tag := field.Tag.Get("json")
				if tag == "" || seen[tag] {
					t.Errorf("%s.%s has tag %q", typ, field.Name, tag)
				}
				seen[tag] = true
				switch field.Type.String() {
				case "string", "bool", "[]string", "*bool", "*oauth.MTLSEndpoints":
				default:
					t.Errorf("%s.%s is a %s", typ, field.Name, field.Type)
				}
			}
		}
	})
	t.Run("checklist_160 true is a JSON true, false may be said where absence means true", func(t *testing.T) {
		no := false
		raw, err := json.Marshal(ServerMetadata{Issuer: "x", AuthorizationResponseIssParameterSupported: true, RequestURIParameterSupported: &no})
		want := `{"issuer":"x","response_types_supported":[],"authorization_response_iss_parameter_supported":true,"request_uri_parameter_supported":false}`
		if err != nil || string(raw) != want {
			t.Errorf("got %s, %v", raw, err)
		}
	})
}

func TestServerMetadataIsReadBack(t *testing.T) {
	// Members of the example of RFC 8414 §3.2.
	const example = `{"issuer":"https://server.example.com","token_endpoint":"https://server.example.com/token",
		"token_endpoint_auth_methods_supported":["client_secret_basic","private_key_jwt"],
		"jwks_uri":"https://server.example.com/jwks.json","registration_endpoint":"https://server.example.com/register",
		"response_types_supported":["code","code token"],"ui_locales_supported":["en-US","fr-CA"],"something_new":{"a":1}}`
	var m ServerMetadata
	if err := json.Unmarshal([]byte(example), &m); err != nil {
		t.Fatal(err)
	}
	if m.Issuer != "https://server.example.com" || m.TokenEndpoint != "https://server.example.com/token" || m.JWKSURI != "https://server.example.com/jwks.json" ||
		m.RegistrationEndpoint != "https://server.example.com/register" || len(m.TokenEndpointAuthMethodsSupported) != 2 || len(m.ResponseTypesSupported) != 2 {
		t.Errorf("got %+v", m)
	}
}

func TestCheckResource(t *testing.T) {
	for _, tc := range []struct {
		name, resource string
		ok             bool
	}{
		{"checklist_106 example of RFC 8707 section 2", "https://cal.example.com/", true},
		{"checklist_106 with a path", "https://rs.example.com/api/v1", true},
		{"checklist_106 with a query", "https://rs.example.com/?tenant=7", true},
		{"checklist_106 without a slash", "https://rs.example.com", true},
		{"checklist_106 with a port", "http://127.0.0.1:8484", true},
		{"checklist_106 a URN", "urn:example:cooperation-context", true},
		{"checklist_106 percent-encoded", "https://rs.example.com/a%20b", true},
		{"checklist_106 an IPv6 host", "https://[::1]:8443/", true},
		{"checklist_106 a fragment", "https://rs.example.com/#a", false},
		{"checklist_106 an empty fragment", "https://rs.example.com/#", false},
		{"checklist_106 relative", "/api/v1", false},
		{"checklist_106 relative to the scheme", "//rs.example.com", false},
		{"checklist_106 a host alone", "rs.example.com", false},
		{"checklist_106 a host and port alone", "127.0.0.1:8484", false},
		{"checklist_106 a scheme alone", "https:", false},
		{"checklist_106 no host", "https:///a", false},
		{"checklist_106 no slashes", "https:rs.example.com", false},
		{"checklist_106 nothing", "", false},
		{"checklist_106 a space", "https://rs.example.com/a b", false},
		{"checklist_106 a line break", "https://rs.example.com/\n", false},
		{"checklist_106 non-ASCII", "https://rs.example.com/ä", false},
		{"checklist_106 a quotation mark", `https://rs.example.com/"`, false},
		{"checklist_106 a backslash", `https://rs.example.com\a`, false},
		{"checklist_106 percent without digits", "https://rs.example.com/?a=%zz", false},
		{"checklist_106 percent at the end", "https://rs.example.com/?a=%4", false},
		{"checklist_106 more than 2 KiB", "https://rs.example.com/" + string(make([]byte, 2048)), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code := codeOf(t, CheckResource(tc.resource))
			if tc.ok && code != "" || !tc.ok && code != "invalid_target" {
				t.Errorf("got %q", code)
			}
		})
	}
}

func FuzzCheckResource(f *testing.F) {
	f.Add("https://rs.example.com/a?b=%20")
	f.Add("urn:a:b#c")
	f.Fuzz(func(t *testing.T, s string) {
		if CheckResource(s) == nil && (!isPrintable(s) || len(s) > maxResourceBytes || WellKnownURL(s, "x") == s) {
			t.Errorf("%q is a resource", s)
		}
	})
}
