package oauthclient_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/farside"
)

const apikey = "sk_test_0123456789"

// newcomer is a caller with an apikey and a key pair, and no client yet.
func newcomer(t *testing.T) (*farside.World, *jose.SigningKey, oauthclient.RegisterRequest) {
	t.Helper()
	world := farside.New(t)
	world.With(func(s *farside.State) { s.APIKeys[apikey] = oauth.Scope{"read:orders", "create:orders"} })
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	return world, key, oauthclient.RegisterRequest{API: world.APIURL, APIKey: apikey, Name: "billing", PublicJWKS: jwks, SoftwareID: "program"}
}

func TestRegisterThenGetAToken(t *testing.T) {
	world, key, request := newcomer(t)
	made, err := oauthclient.Register(background(t), request)
	if err != nil {
		t.Fatal(err)
	}
	if made.Issuer != world.IssuerURL || made.Resource != world.APIURL || !slices.Equal(made.Scopes, []string{"read:orders", "create:orders"}) {
		t.Errorf("registered %+v", made)
	}
	pem, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.ParseSigningKeyPEM(pem)
	if err != nil {
		t.Fatal(err)
	}
	config := &oauthclient.Config{Issuer: made.Issuer, TokenURL: made.TokenURL, ClientID: made.ClientID, KeyFile: keyFile(t, signer), Scopes: made.Scopes}
	if _, err := config.NewToken(background(t)); err != nil {
		t.Fatal(err)
	}
	var sent oauth.ClientMetadata
	world.With(func(s *farside.State) { sent = s.Registrations[0] })
	if sent.ClientName != "billing" || sent.SoftwareID != "program" || sent.Scope != "" || sent.TokenEndpointAuthSigningAlg != "ES256" {
		t.Errorf("sent %+v", sent)
	}
}

func TestRegisterFindsTheIssuerByTheChallenge(t *testing.T) {
	world, _, request := newcomer(t)
	api := httptest.NewServer(nil)
	defer api.Close()
	api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/meta" {
			_ = json.NewEncoder(w).Encode(oauth.ResourceMetadata{Resource: api.URL + "/v1", AuthorizationServers: []string{world.IssuerURL}})
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic, Bearer resource_metadata="`+api.URL+`/meta"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	request.API = api.URL + "/v1/orders"
	made, err := oauthclient.Register(background(t), request)
	if err != nil {
		t.Fatal(err)
	}
	if made.Resource != api.URL+"/v1" {
		t.Errorf("resource %q", made.Resource)
	}
}

func TestDiscoveryRefusesOneServerInTheNameOfAnother(t *testing.T) {
	cases := map[string]struct {
		change func(*farside.State)
		want   string
	}{
		"checklist_159 issuer is another": {func(s *farside.State) {
			s.Metadata = func(m *oauth.ServerMetadata) { m.Issuer = "https://other.example" }
		}, "RFC 8414 §3.3"},
		"checklist_159 a slash more": {func(s *farside.State) { s.Metadata = func(m *oauth.ServerMetadata) { m.Issuer += "/" } }, "the slash at the end counts"},
		"checklist_163 resource is another": {func(s *farside.State) {
			s.Resource = func(m *oauth.ResourceMetadata) { m.Resource = "https://other.example" }
		}, "RFC 9728 §3.3"},
		"checklist_163 resource is a sub-path": {func(s *farside.State) { s.Resource = func(m *oauth.ResourceMetadata) { m.Resource += "/v1" } }, "RFC 9728 §3.3"},
		"no issuer named":                      {func(s *farside.State) { s.Resource = func(m *oauth.ResourceMetadata) { m.AuthorizationServers = nil } }, "no authorization server"},
		"no metadata":                          {func(s *farside.State) { s.Resource = func(m *oauth.ResourceMetadata) { m.Resource = "" } }, "does not say who issues its tokens"},
		"no registration":                      {func(s *farside.State) { s.Metadata = func(m *oauth.ServerMetadata) { m.RegistrationEndpoint = "" } }, "takes no registrations"},
		"registration in the clear": {func(s *farside.State) {
			s.Metadata = func(m *oauth.ServerMetadata) { m.RegistrationEndpoint = "http://auth.example.com/register" }
		}, "insecure_url"},
		"token endpoint in the clear": {func(s *farside.State) {
			s.Metadata = func(m *oauth.ServerMetadata) { m.TokenEndpoint = "http://auth.example.com/token" }
		}, "insecure_url"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			world, _, request := newcomer(t)
			world.With(tc.change)
			_, err := oauthclient.Register(background(t), request)
			if e := explained(t, err); !strings.Contains(e.Error(), tc.want) {
				t.Errorf("want %q, have %v", tc.want, err)
			}
			world.With(func(s *farside.State) {
				if len(s.Registrations) > 0 {
					t.Error("it registered all the same")
				}
			})
			for _, call := range world.Calls() {
				if call.Authorization != "" {
					t.Error("the search for the issuer carried a credential")
				}
			}
		})
	}
}

func TestRegisterRefusals(t *testing.T) {
	t.Run("waits for approval, then succeeds with the same request", func(t *testing.T) {
		world, _, request := newcomer(t)
		world.With(func(s *farside.State) { s.Approval = true })
		_, err := oauthclient.Register(background(t), request)
		var pending *oauthclient.PendingError
		if !errors.As(err, &pending) || pending.Message != "this apikey is used by two programs" {
			t.Fatalf("want a PendingError, have %v", err)
		}
		world.With(func(s *farside.State) { s.Approval = false })
		if _, err := oauthclient.Register(background(t), request); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("unknown apikey", func(t *testing.T) {
		_, _, request := newcomer(t)
		request.APIKey = "sk_wrong_key"
		_, err := oauthclient.Register(background(t), request)
		if e := explained(t, err); e.Status != 401 || !strings.Contains(e.Fix, "check the apikey") || strings.Contains(err.Error(), "sk_wrong_key") {
			t.Errorf("have %v", err)
		}
	})
	t.Run("a private key is never sent", func(t *testing.T) {
		world, _, request := newcomer(t)
		request.PublicJWKS = json.RawMessage(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}]}`)
		_, err := oauthclient.Register(background(t), request)
		if e := explained(t, err); e.Code != "bad_key" {
			t.Errorf("have %v", err)
		}
		if len(world.Calls()) > 0 {
			t.Error("something was sent")
		}
	})
	t.Run("hostile answers", func(t *testing.T) {
		for _, answer := range []string{
			`{}`, `{"client_id":"a\u001b[31m"}`, `{"client_id":"a","scope":"x\u0007"}`, `not json`,
			`{"client_id":"a","token_endpoint_auth_method":"none"}`, `{"client_id":"` + strings.Repeat("a", 300) + `"}`,
		} {
			world, _, request := newcomer(t)
			world.With(func(s *farside.State) {
				s.Hook = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/register" {
						w.WriteHeader(http.StatusCreated)
						_, _ = w.Write([]byte(answer))
					}
					return r.URL.Path == "/register"
				}
			})
			_, err := oauthclient.Register(background(t), request)
			if e := explained(t, err); e.Code != "bad_response" || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%s: %v", answer, err)
			}
		}
	})
	for name, change := range map[string]func(*oauthclient.RegisterRequest){
		"no apikey":               func(r *oauthclient.RegisterRequest) { r.APIKey = "" },
		"apikey with a line end":  func(r *oauthclient.RegisterRequest) { r.APIKey = "a\nb" },
		"no API":                  func(r *oauthclient.RegisterRequest) { r.API = "" },
		"no key set":              func(r *oauthclient.RegisterRequest) { r.PublicJWKS = json.RawMessage(`{"keys":[]}`) },
		"API in the clear":        func(r *oauthclient.RegisterRequest) { r.API = "http://api.example.com" },
		"password in the API URL": func(r *oauthclient.RegisterRequest) { r.API = "https://u:p@api.example.com" },
		"issuer of another API":   func(r *oauthclient.RegisterRequest) { r.Issuer = "https://other.example" },
	} {
		t.Run(name, func(t *testing.T) {
			_, _, request := newcomer(t)
			change(&request)
			_, err := oauthclient.Register(background(t), request)
			explained(t, err)
		})
	}
}
