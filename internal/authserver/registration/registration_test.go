package registration

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

var policy = Policy{
	Methods: []string{oauth.AuthNone, oauth.AuthPrivateKeyJWT, oauth.AuthClientSecretBasic, oauth.AuthClientSecretPost, oauth.AuthTLSClient, oauth.AuthSelfSignedTLSClient},
	Grants:  []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken, oauth.GrantDeviceCode, oauth.GrantClientCredentials}, RequestAlgs: jose.ClientAlgorithms, DPoP: true,
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func keySet(t testing.TB) json.RawMessage {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jose.KeySet{Keys: []jose.PublicKey{key.Public()}}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// web is metadata that may be registered.
func web(change func(*oauth.ClientMetadata)) oauth.ClientMetadata {
	md := oauth.ClientMetadata{RedirectURIs: []string{"https://shop.example/cb"}}
	if change != nil {
		change(&md)
	}
	return md
}

func TestWhatIsLeftOutIsFilledIn(t *testing.T) {
	md := web(nil)
	if err := Check(&md, policy); err != nil {
		t.Fatal(err)
	}
	want := oauth.ClientMetadata{
		RedirectURIs: md.RedirectURIs, GrantTypes: []string{oauth.GrantAuthorizationCode}, ResponseTypes: []string{"code"},
		TokenEndpointAuthMethod: oauth.AuthClientSecretBasic, ApplicationType: client.Web,
	}
	if !reflect.DeepEqual(md, want) {
		t.Errorf("%+v", md)
	}
}

func TestAClientKnownByItsCertificateMayHaveALargeKey(t *testing.T) {
	n := new(big.Int).SetBit(big.NewInt(1), 4095, 1)
	large := json.RawMessage(`{"keys":[{"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(n.Bytes()) + `"}]}`)
	for method, good := range map[string]bool{oauth.AuthSelfSignedTLSClient: true, oauth.AuthPrivateKeyJWT: false} {
		md := web(func(md *oauth.ClientMetadata) { md.TokenEndpointAuthMethod, md.JWKS = method, large })
		p := policy
		p.MutualTLS = true
		err := Check(&md, p)
		if (err == nil) != good {
			t.Errorf("%s: %v", method, err)
		}
		var c client.Client
		if good && (Apply(md, &c, noon) != nil || len(c.Credentials) != 1) {
			t.Errorf("%+v", c)
		}
	}
}

func TestRedirectURIs(t *testing.T) {
	// checklist_180 checklist_186 checklist_46
	for uri, types := range map[string]string{
		"https://shop.example/cb": "web native", "https://shop.example/cb?a=b": "web native", "https://shop.example": "web native",
		"http://127.0.0.1/cb": "native", "http://127.0.0.1:8080/cb": "native", "http://[::1]/cb": "native", "http://localhost:3000/cb": "native",
		"com.example.app:/cb": "native", "com.example.app://cb": "native",
		"http://shop.example/cb": "", "https://shop.example/cb#a": "", "https://shop.example/cb#": "", "https://me@shop.example/cb": "",
		"javascript:alert(1)": "", "data:text/html,x": "", "myapp://cb": "", "file:///etc/passwd": "", "": "", "/cb": "", "https:///cb": "", "https://shop.example/ cb": "",
		"https://shop.example/\ncb": "", "https://shöp.example/cb": "", "http://127.0.0.1.evil.example/cb": "", "http://localhost.evil.example/": "", "https://shop.example\\@evil.example/": "",
		"https://shop.example/" + strings.Repeat("a", 2000): "",
	} {
		for _, applicationType := range []string{client.Web, client.Native} {
			md := web(func(md *oauth.ClientMetadata) {
				md.RedirectURIs, md.ApplicationType, md.TokenEndpointAuthMethod = []string{uri}, applicationType, oauth.AuthNone
			})
			err := Check(&md, policy)
			if want := strings.Contains(types, applicationType); (err == nil) != want {
				t.Errorf("%s %q: %v", applicationType, uri, err)
			}
			if e, ok := err.(*oauth.Error); err != nil && (!ok || e.Code != oauth.CodeInvalidRedirectURI) {
				t.Errorf("%s %q: %v", applicationType, uri, err)
			}
		}
	}
}

func TestAClientOfAPersonsMachineNeedNotSaySo(t *testing.T) {
	for uris, want := range map[string]string{
		"http://127.0.0.1/cb http://localhost/cb": client.Native, "com.example.app:/cb": client.Native, "https://shop.example/cb": client.Web,
	} {
		md := web(func(md *oauth.ClientMetadata) { md.RedirectURIs = strings.Fields(uris) })
		if err := Check(&md, policy); err != nil || md.ApplicationType != want {
			t.Errorf("%s: %q, %v", uris, md.ApplicationType, err)
		}
	}
	md := web(func(md *oauth.ClientMetadata) {
		md.RedirectURIs = []string{"https://shop.example/cb", "http://localhost/cb"}
	})
	if err := Check(&md, policy); err == nil {
		t.Error("a web client has a loopback redirect")
	}
}

func TestMetadataThatCannotBeKeptToIsRefused(t *testing.T) {
	keys := keySet(t)
	minus := int64(-1)
	for name, change := range map[string]func(*oauth.ClientMetadata){
		"checklist_180 keys twice":          func(md *oauth.ClientMetadata) { md.JWKS, md.JWKSURI = keys, "https://a.example/k" },
		"checklist_180 keys by http":        func(md *oauth.ClientMetadata) { md.JWKSURI = "http://a.example/k" },
		"keys that are none":                func(md *oauth.ClientMetadata) { md.JWKS = json.RawMessage(`{"keys":[]}`) },
		"private_key_jwt without a key":     func(md *oauth.ClientMetadata) { md.TokenEndpointAuthMethod = oauth.AuthPrivateKeyJWT },
		"signed requests without a key":     func(md *oauth.ClientMetadata) { md.RequestObjectSigningAlg = "ES256" },
		"a method that there is not":        func(md *oauth.ClientMetadata) { md.TokenEndpointAuthMethod = "client_secret_jwt" },
		"checklist_181 an unknown grant":    func(md *oauth.ClientMetadata) { md.GrantTypes = []string{"password"} },
		"checklist_181 implicit":            func(md *oauth.ClientMetadata) { md.GrantTypes = []string{"implicit"} },
		"checklist_181 refresh_token alone": func(md *oauth.ClientMetadata) { md.GrantTypes = []string{"refresh_token"} },
		"checklist_181 code without its grant": func(md *oauth.ClientMetadata) {
			md.GrantTypes, md.ResponseTypes = []string{"client_credentials"}, []string{"code"}
		},
		"checklist_181 id_token": func(md *oauth.ClientMetadata) { md.ResponseTypes = []string{"id_token"} },
		"no redirect URI":        func(md *oauth.ClientMetadata) { md.RedirectURIs = nil },
		"too many redirect URIs": func(md *oauth.ClientMetadata) { md.RedirectURIs = make([]string, 51) },
		"checklist_72 a public client that acts for itself": func(md *oauth.ClientMetadata) {
			md.TokenEndpointAuthMethod, md.GrantTypes = "none", []string{"client_credentials"}
		},
		"checklist_32 no certificate subject": func(md *oauth.ClientMetadata) { md.TokenEndpointAuthMethod = oauth.AuthTLSClient },
		"checklist_32 two certificate subjects": func(md *oauth.ClientMetadata) {
			md.TokenEndpointAuthMethod, md.TLSClientAuthSANDNS, md.TLSClientAuthSANIP = oauth.AuthTLSClient, "a", "b"
		},
		"a certificate subject that is not used": func(md *oauth.ClientMetadata) { md.TLSClientAuthSANDNS = "a" },
		"an unsigned ID token":                   func(md *oauth.ClientMetadata) { md.IDTokenSignedResponseAlg = "none" },
		"HS256":                                  func(md *oauth.ClientMetadata) { md.TokenEndpointAuthSigningAlg = "HS256" },
		"unsigned requests":                      func(md *oauth.ClientMetadata) { md.JWKS, md.RequestObjectSigningAlg = keys, "none" },
		"certificate-bound tokens":               func(md *oauth.ClientMetadata) { md.TLSClientCertificateBoundAccessTokens = true },
		"an unknown application type":            func(md *oauth.ClientMetadata) { md.ApplicationType = "desktop" },
		"an unknown subject type":                func(md *oauth.ClientMetadata) { md.SubjectType = "secret" },
		"a logo by javascript":                   func(md *oauth.ClientMetadata) { md.LogoURI = "javascript:alert(1)" },
		"a policy by http":                       func(md *oauth.ClientMetadata) { md.PolicyURI = "http://shop.example/p" },
		"a logout with a fragment":               func(md *oauth.ClientMetadata) { md.BackchannelLogoutURI = "https://shop.example/out#x" },
		"a post-logout URI by data:":             func(md *oauth.ClientMetadata) { md.PostLogoutRedirectURIs = []string{"data:x"} },
		"a broken scope":                         func(md *oauth.ClientMetadata) { md.Scope = "a\"b" },
		"a negative max age":                     func(md *oauth.ClientMetadata) { md.DefaultMaxAge = &minus },
		"a name that moves the cursor":           func(md *oauth.ClientMetadata) { md.ClientName = "a\x1b[2J" },
		"a contact without end":                  func(md *oauth.ClientMetadata) { md.Contacts = []string{strings.Repeat("a", 201)} },
		"pairwise on two hosts": func(md *oauth.ClientMetadata) {
			md.SubjectType, md.RedirectURIs = "pairwise", []string{"https://a.example/", "https://b.example/"}
		},
		"a sector by http": func(md *oauth.ClientMetadata) { md.SectorIdentifierURI = "http://a.example/s" },
	} {
		t.Run(name, func(t *testing.T) {
			md := web(change)
			if err := Check(&md, policy); err == nil {
				t.Errorf("registered: %+v", md)
			}
		})
	}
}

func TestASectorVouchesForEveryRedirectURI(t *testing.T) {
	listed := []string{"https://a.example/cb", "https://b.example/cb"}
	if err := CheckSectorDocument(listed, listed[:1]); err != nil {
		t.Error(err)
	}
	if err := CheckSectorDocument(listed[:1], listed); err == nil {
		t.Error("a redirect URI that is not listed is taken")
	}
}

func TestWhatIsRegisteredIsDescribedAndReplaced(t *testing.T) {
	age := int64(60)
	md := oauth.ClientMetadata{
		RedirectURIs: []string{"https://shop.example/cb"}, GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"}, ClientName: "Shop",
		TokenEndpointAuthMethod: "tls_client_auth", TLSClientAuthSANDNS: "shop.example", ApplicationType: "web", JWKS: keySet(t), SoftwareID: "s", SoftwareVersion: "1",
		TokenEndpointAuthSigningAlg: "ES256", RequestObjectSigningAlg: "PS256", IDTokenSignedResponseAlg: "ES256", SubjectType: "pairwise", SectorIdentifierURI: "https://sector.example/s",
		DefaultMaxAge: &age, PostLogoutRedirectURIs: []string{"https://shop.example/bye"}, BackchannelLogoutURI: "https://shop.example/out", BackchannelLogoutSessionRequired: true,
		InitiateLoginURI: "https://shop.example/in", ClientURI: "https://shop.example", LogoURI: "https://shop.example/l", PolicyURI: "https://shop.example/p", TosURI: "https://shop.example/t",
		Contacts: []string{"ops@shop.example"}, DPoPBoundAccessTokens: true, RequirePushedAuthorizationRequests: true,
	}
	if err := Check(&md, policy); err != nil {
		t.Fatal(err)
	}
	c := &client.Client{ID: "cl_1"}
	if err := Apply(md, c, noon); err != nil {
		t.Fatal(err)
	}
	got, err := Describe(c, noon)
	if err != nil || !reflect.DeepEqual(got, md) {
		t.Errorf("%v\n%+v\n%+v", err, got, md)
	}
	if c.SectorIdentifier != "sector.example" {
		t.Errorf("sector %q", c.SectorIdentifier)
	}
	t.Run("checklist_184 what an update leaves out is gone, a key that stays keeps its id", func(t *testing.T) {
		key := c.Credentials[0].ID
		small := web(func(m *oauth.ClientMetadata) { m.JWKS = md.JWKS })
		if err := Check(&small, policy); err != nil {
			t.Fatal(err)
		}
		c.Quarantined = true
		if err := Apply(small, c, noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if c.LogoURI != "" || c.DPoPBound || c.TLS != (client.TLSSubject{}) || c.Name != "cl_1" || !c.Quarantined || c.Credentials[0].ID != key || !c.Credentials[0].Created.Equal(noon) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzClientMetadata(f *testing.F) {
	f.Add([]byte(`{"redirect_uris":["https://a.example/cb","com.example.app:/x"],"jwks_uri":"https://a.example/k","subject_type":"pairwise"}`))
	f.Add([]byte(`{"redirect_uris":["http://127.0.0.1:1/"],"grant_types":["authorization_code","refresh_token"],"token_endpoint_auth_method":"none","contacts":["a"]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		md, err := oauth.ParseClientMetadata(raw)
		if err != nil || Check(&md, policy) != nil {
			return
		}
		c := &client.Client{ID: "cl_1"}
		if err := Apply(md, c, noon); err != nil {
			t.Fatal(err)
		}
		for _, uri := range append(c.RedirectURIs, c.PostLogoutRedirectURIs...) {
			if lower := strings.ToLower(uri); strings.HasPrefix(lower, "javascript:") || strings.HasPrefix(lower, "data:") || strings.ContainsAny(uri, "# \n") {
				t.Errorf("registered %q", uri)
			}
		}
		again, err := Describe(c, noon)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(&again, policy); err != nil {
			t.Errorf("%s is described as what could not be registered: %v", raw, err)
		}
	})
}

func FuzzDocument(f *testing.F) {
	f.Add("https://client.example/c", []byte(`{"client_id":"https://client.example/c","redirect_uris":["http://localhost/cb"],"jwks_uri":"https://client.example/k"}`))
	f.Add("http://127.0.0.1/c", []byte(`{"client_id":"http://127.0.0.1/c","redirect_uris":["https://a.example/"],"grant_types":["authorization_code","x"]}`))
	f.Fuzz(func(t *testing.T, id string, raw []byte) {
		if CheckDocumentURL(id) != nil {
			return
		}
		c, err := ReadDocument(id, raw, DocumentPolicy(), noon)
		if err != nil {
			return
		}
		if c.ID != id || c.AuthMethod != oauth.AuthNone && c.AuthMethod != oauth.AuthPrivateKeyJWT || c.Allows(oauth.GrantClientCredentials) || len(c.RedirectURIs) == 0 || c.Source != client.SourceDocument {
			t.Errorf("%s is %+v", raw, c)
		}
	})
}
