package oauth

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestParseClientMetadata(t *testing.T) {
	// Members of the example of RFC 7591 §3.1.
	const example = `{"redirect_uris":["https://client.example.org/callback","https://client.example.org/callback2"],
		"client_name":"My Example Client","client_name#ja-Jpan-JP":"\u30AF\u30E9\u30A4\u30A2\u30F3\u30C8\u540D",
		"token_endpoint_auth_method":"client_secret_basic","logo_uri":"https://client.example.org/logo.png",
		"jwks_uri":"https://client.example.org/my_public_keys.jwks","example_extension_parameter":"example_value"}`
	m, err := ParseClientMetadata([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	want := ClientMetadata{
		RedirectURIs: []string{"https://client.example.org/callback", "https://client.example.org/callback2"},
		ClientName:   "My Example Client", TokenEndpointAuthMethod: "client_secret_basic",
		LogoURI: "https://client.example.org/logo.png", JWKSURI: "https://client.example.org/my_public_keys.jwks",
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v", m)
	}
	t.Run("jwks is kept as it was sent", func(t *testing.T) {
		const jwks = `{"keys": [ {"kty":"EC", "n":1.50} ]}`
		m, err := ParseClientMetadata([]byte(`{"jwks":` + jwks + `,"scope":"a b","dpop_bound_access_tokens":true}`))
		if err != nil {
			t.Fatal(err)
		}
		var sent, kept any
		if json.Unmarshal([]byte(jwks), &sent) != nil || json.Unmarshal(m.JWKS, &kept) != nil || !reflect.DeepEqual(sent, kept) {
			t.Errorf("jwks is %s", m.JWKS)
		}
		if m.Scope != "a b" || !m.DPoPBoundAccessTokens {
			t.Errorf("got %+v", m)
		}
	})
	t.Run("jwks null beside jwks_uri is no jwks", func(t *testing.T) {
		m, err := ParseClientMetadata([]byte(`{"jwks":null,"jwks_uri":"https://c.example/jwks"}`))
		if err != nil || m.JWKS != nil {
			t.Errorf("got %s, %v", m.JWKS, err)
		}
	})
	t.Run("a name in another letter case is another name", func(t *testing.T) {
		m, err := ParseClientMetadata([]byte(`{"scope":"a","SCOPE":"admin","Redirect_URIs":["https://evil.example"]}`))
		if err != nil || m.Scope != "a" || m.RedirectURIs != nil {
			t.Errorf("got %+v, %v", m, err)
		}
	})
}

func TestParseClientMetadataRefuses(t *testing.T) {
	for _, tc := range []struct{ name, raw, cause string }{
		{"checklist_180 jwks and jwks_uri", `{"jwks":{"keys":[]},"jwks_uri":"https://c.example/jwks"}`, "both"},
		{"a string for an array", `{"redirect_uris":"https://c.example"}`, "'redirect_uris' must not be a JSON string"},
		{"a number in an array", `{"grant_types":[7]}`, "'grant_types"},
		{"a number for an integer that holds none", `{"default_max_age":1.5}`, "'default_max_age' must not be a JSON number"},
		{"a string for a boolean", `{"dpop_bound_access_tokens":"true"}`, "'dpop_bound_access_tokens'"},
		{"a member twice", `{"scope":"a","scope":"b"}`, "twice"},
		{"a member twice, once escaped", `{"scope":"a","\u0073cope":"b"}`, "twice"},
		{"an unknown member twice", `{"x":1,"x":2}`, "twice"},
		{"an array", `[]`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"nothing", ``, "not a JSON object"},
		{"a form", `redirect_uris=a`, "not a JSON object"},
		{"cut short", `{"scope":"a"`, "not valid JSON"},
		{"cut short after the name", `{"scope"`, "not valid JSON"},
		{"cut short in a value", `{"jwks":{"keys":[`, "not valid JSON"},
		{"an object after the object", `{}{}`, "follows"},
		{"more than 64 KiB", `{"client_name":"` + strings.Repeat("a", 64<<10) + `"}`, "longer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := ParseClientMetadata([]byte(tc.raw))
			if codeOf(t, err) != "invalid_client_metadata" || !strings.Contains(err.(*Error).Description, tc.cause) {
				t.Errorf("got %v, want it to say %q", err, tc.cause)
			}
			if !reflect.DeepEqual(m, ClientMetadata{}) {
				t.Errorf("%+v beside an error", m)
			}
		})
	}
}

func TestClientInformationSaysWhenASecretExpires(t *testing.T) {
	never := int64(0)
	raw, err := json.Marshal(ClientInformation{ClientID: "c", ClientSecret: "s", ClientSecretExpiresAt: &never, ClientMetadata: ClientMetadata{ClientName: "n"}})
	if err != nil || string(raw) != `{"client_id":"c","client_secret":"s","client_secret_expires_at":0,"client_name":"n"}` {
		t.Errorf("checklist_178: got %s, %v", raw, err)
	}
	raw, err = json.Marshal(ClientInformation{ClientID: "c"})
	if err != nil || string(raw) != `{"client_id":"c"}` {
		t.Errorf("got %s, %v", raw, err)
	}
}

func FuzzParseClientMetadata(f *testing.F) {
	f.Add([]byte(`{"redirect_uris":["https://a.example"],"jwks":{"keys":[]},"x":{"y":[1,null]}}`))
	f.Add([]byte(`{"scope":"a","scope":"b"}`))
	f.Add([]byte(`{"default_max_age":1e400}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := ParseClientMetadata(raw)
		if err != nil {
			if codeOf(t, err) != "invalid_client_metadata" {
				t.Fatalf("got %v", err)
			}
			return
		}
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseClientMetadata(out)
		if err != nil {
			t.Fatalf("%s is refused: %v", out, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(out) {
			t.Fatalf("%s comes back as %s, %v", out, twice, err)
		}
	})
}
