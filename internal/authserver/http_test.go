package authserver_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

func TestChecklist1to5(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())

	t.Run("checklist_1 unknown parameters are ignored", func(t *testing.T) {
		w.token(header, "foo", "bar", "audiences", "x", "utm_source", "ä").ok()
	})
	t.Run("checklist_2 an empty value counts as left out", func(t *testing.T) {
		a := w.token(header, "scope", "", "resource", "", "client_id", "", "client_assertion", "", "client_secret", "")
		if c := claims(t, a.ok()); c["aud"] != api || c["scope"] != nil {
			t.Errorf("got %v", c)
		}
	})
	for _, path := range []string{"/token", "/introspect", "/revoke"} {
		for _, name := range []string{"grant_type", "scope", "token", "client_id", "foo"} {
			t.Run("checklist_3 "+path+" "+name+" twice", func(t *testing.T) {
				form := values("grant_type", oauth.GrantClientCredentials, "token", "x", "scope", "read:orders", "client_id", "billing", "foo", "a")
				form.Add(name, "again")
				w.post(path, header, form).refused(400, "invalid_request", "sent twice")
			})
		}
	}
	t.Run("checklist_3 resource may repeat at the token endpoint only", func(t *testing.T) {
		w.token(header, "resource", api, "resource", api).ok()
		w.post("/introspect", header, values("token", "x", "resource", api, "resource", api)).refused(400, "invalid_request", "sent twice")
	})
	t.Run("checklist_4 what holds a token is not stored", func(t *testing.T) {
		a := w.token(header)
		introspected := w.post("/introspect", header, values("token", a.ok()))
		registered := w.register(t, "old-key", goodMetadata(t))
		for name, a := range map[string]answer{"token": a, "introspection": introspected, "registration": registered} {
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
				t.Errorf("%s: %v", name, a.header)
			}
		}
	})
	t.Run("checklist_5 nothing that was sent comes back", func(t *testing.T) {
		evil := "\"><script>\r\nSet-Cookie: a=b\x00ü\\"
		for _, form := range []url.Values{
			values("grant_type", evil), values("grant_type", oauth.GrantClientCredentials, "scope", evil),
			values("grant_type", oauth.GrantClientCredentials, "resource", evil), values(evil, evil, evil+"2", evil),
			{"grant_type": {evil, evil}}, {evil: {"a", "b"}},
			values("client_assertion", evil, "client_assertion_type", evil),
		} {
			for _, h := range []http.Header{header, nil, {"Authorization": {"Basic " + evil}}, {"Authorization": {oauth.FormatBasic(evil, evil)}}} {
				a := w.post("/token", h, form)
				if a.status < 400 || strings.Contains(a.body+a.header.Get("WWW-Authenticate"), "Set-Cookie") {
					t.Errorf("%v: %d %s", form, a.status, a.body)
				}
				a.refused(a.status, a.json["error"].(string), "")
			}
		}
	})
	t.Run("checklist_8 token_type is Bearer", func(t *testing.T) {
		if a := w.token(header); a.json["token_type"] != "Bearer" {
			t.Errorf("got %v", a.json["token_type"])
		}
	})
}

func TestChecklist9(t *testing.T) {
	w := newWorld(t)
	for path, method := range map[string]string{
		"/token": "POST", "/revoke": "POST", "/register": "POST", "/jwks": "GET", "/.well-known/oauth-authorization-server": "GET",
	} {
		t.Run("checklist_9 CORS at "+path, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodOptions, path, nil)
			r.Header.Set("Origin", "https://app.example")
			r.Header.Set("Access-Control-Request-Method", method)
			r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
			a := w.do(r)
			if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != "*" ||
				!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), method) ||
				!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("preflight: %d %v", a.status, a.header)
			}
			r = httptest.NewRequest(method, path, strings.NewReader(""))
			r.Header.Set("Origin", "https://app.example")
			a = w.do(r)
			if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("answer %d: %v", a.status, a.header)
			}
		})
	}
	for _, path := range []string{"/introspect", "/"} {
		t.Run("checklist_9 none at "+path, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodOptions, path, nil)
			r.Header.Set("Origin", "https://app.example")
			if a := w.do(r); a.status != http.StatusMethodNotAllowed || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%d %v", a.status, a.header)
			}
		})
	}
}

func TestChecklist11and12(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	for _, contentType := range []string{"application/json", "text/plain", "multipart/form-data; boundary=x", "", "application/x-www-form-urlencodedx"} {
		for _, path := range []string{"/token", "/introspect", "/revoke"} {
			t.Run("checklist_11 "+path+" refuses "+contentType, func(t *testing.T) {
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"grant_type":"client_credentials"}`))
				r.Header = header.Clone()
				if contentType != "" {
					r.Header.Set("Content-Type", contentType)
				}
				w.do(r).refused(400, "invalid_request", "application/x-www-form-urlencoded")
			})
		}
	}
	t.Run("checklist_11 a charset is no other type", func(t *testing.T) {
		h := header.Clone()
		h.Set("Content-Type", "Application/X-WWW-Form-urlencoded; charset=UTF-8")
		w.post("/token", h, values("grant_type", oauth.GrantClientCredentials)).ok()
	})
	t.Run("checklist_11 answers are application/json", func(t *testing.T) {
		for _, a := range []answer{w.token(header), w.token(nil), w.post("/introspect", header, values("token", "x")), w.get("/token")} {
			if a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%d: %v", a.status, a.header)
			}
		}
	})
	t.Run("checklist_11 a body without end is cut off", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("a="+strings.Repeat("x", 64<<10)))
		r.Header = header.Clone()
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w.do(r).refused(413, "invalid_request", "64 KiB")
	})
	for _, path := range []string{"/token", "/introspect", "/revoke", "/register"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "post"} {
			t.Run("checklist_12 "+method+" "+path, func(t *testing.T) {
				a := w.do(httptest.NewRequest(method, path+"?grant_type=client_credentials", nil))
				if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
					t.Errorf("%d, Allow %q", a.status, a.header.Get("Allow"))
				}
			})
		}
	}
	for _, path := range []string{"/", "/jwks", "/.well-known/oauth-authorization-server"} {
		t.Run("checklist_12 POST "+path, func(t *testing.T) {
			if a := w.post(path, nil, nil); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%d, Allow %q", a.status, a.header.Get("Allow"))
			}
		})
		t.Run("HEAD "+path, func(t *testing.T) {
			server := httptest.NewServer(w.handler)
			defer server.Close()
			resp, err := http.Head(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.ContentLength <= 0 {
				t.Errorf("%d, length %d", resp.StatusCode, resp.ContentLength)
			}
		})
	}
}

func TestChecklist15and16(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	id, password, err := oauth.ParseBasic(header.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("checklist_15 the query string holds no credential", func(t *testing.T) {
		query := values("client_id", id, "client_secret", password, "grant_type", oauth.GrantClientCredentials).Encode()
		r := httptest.NewRequest(http.MethodPost, "/token?"+query, strings.NewReader("grant_type=client_credentials"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w.do(r).refused(401, "invalid_client", "no client authentication")
	})
	for _, path := range []string{"/token", "/introspect", "/revoke"} {
		t.Run("checklist_16 a wrong secret in the header at "+path, func(t *testing.T) {
			bad := http.Header{"Authorization": {oauth.FormatBasic(id, "wrong")}}
			a := w.post(path, bad, values("grant_type", oauth.GrantClientCredentials, "token", "x"))
			a.refused(401, "invalid_client", "client authentication failed")
			if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Basic error="invalid_client"`) {
				t.Errorf("WWW-Authenticate: %s", got)
			}
		})
		t.Run("checklist_16 a wrong secret in the body at "+path, func(t *testing.T) {
			a := w.post(path, nil, values("grant_type", oauth.GrantClientCredentials, "token", "x", "client_id", id, "client_secret", "wrong"))
			a.refused(401, "invalid_client", "client authentication failed")
			if a.header.Get("WWW-Authenticate") == "" {
				t.Error("a 401 without challenge")
			}
		})
	}
}

func TestChecklist17AtTheEndpoints(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	bad := http.Header{"Authorization": {oauth.FormatBasic("billing", "wrong")}}
	t.Run("checklist_17 429 with Retry-After", func(t *testing.T) {
		for i := range 10 {
			w.post([]string{"/token", "/introspect", "/revoke"}[i%3], bad, values("grant_type", "client_credentials", "token", "x")).
				refused(401, "invalid_client", "")
		}
		a := w.token(bad)
		a.refused(429, "temporarily_unavailable", "too many failed authentications")
		if got := a.header.Get("Retry-After"); got != "6" {
			t.Errorf("Retry-After %q", got)
		}
	})
	t.Run("checklist_17 another address is not slowed", func(t *testing.T) {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("grant_type=client_credentials"))
		r.Header = header.Clone()
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = "203.0.113.9:1234"
		w.do(r).ok()
	})
	t.Run("checklist_17 guessing apikeys is slowed at both of their doors", func(t *testing.T) {
		for name, try := range map[string]func(*world) answer{
			"exchange": func(w *world) answer {
				return w.post("/token", nil, values("grant_type", oauth.GrantTokenExchange, "subject_token", "guess", "subject_token_type", oauth.TypeAPIKey))
			},
			"registration": func(w *world) answer { return w.register(t, "guess", goodMetadata(t)) },
		} {
			w, n := newWorld(t), 0
			for try(w).status != http.StatusTooManyRequests {
				if n++; n > 1000 {
					t.Fatalf("%s: never", name)
				}
			}
			if n != 100 {
				t.Errorf("%s: %d guesses, want 100", name, n)
			}
		}
	})
}

func TestChecklist30(t *testing.T) {
	w := newWorld(t)
	c, key := w.withKey(billing(), jose.ES256)
	issued := w.post("/token", nil, merged(w.assertion(c.ID, key), values("grant_type", oauth.GrantClientCredentials))).ok()
	t.Run("checklist_30 an assertion authenticates at introspection", func(t *testing.T) {
		if a := w.post("/introspect", nil, merged(w.assertion(c.ID, key), values("token", issued))); a.json["active"] != true {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("checklist_30 an assertion authenticates at revocation", func(t *testing.T) {
		if a := w.post("/revoke", nil, merged(w.assertion(c.ID, key), values("token", issued))); a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("checklist_25 one jti is good at one endpoint", func(t *testing.T) {
		proof := w.assertion(c.ID, key)
		w.post("/token", nil, merged(proof, values("grant_type", oauth.GrantClientCredentials))).ok()
		for _, path := range []string{"/token", "/introspect", "/revoke"} {
			w.post(path, nil, merged(proof, values("grant_type", oauth.GrantClientCredentials, "token", issued))).
				refused(401, "invalid_client", "used before")
		}
	})
	t.Run("checklist_22 compat takes the endpoint that is called", func(t *testing.T) {
		legacy, key := w.withKey(client.Client{ID: "legacy", Audience: client.Compat}, jose.EdDSA)
		for _, path := range []string{"/token", "/introspect", "/revoke"} {
			jwt := signed(t, w, key, map[string]any{"iss": legacy.ID, "sub": legacy.ID, "aud": issuerURL + path, "jti": path, "exp": w.now().Unix() + 60})
			a := w.post(path, nil, values("grant_type", oauth.GrantClientCredentials, "token", issued,
				"client_assertion_type", oauth.AssertionTypeJWTBearer, "client_assertion", jwt))
			if a.status != http.StatusOK {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		if got := w.counter(t, "offkey_assertion_compat_total"); got != 3 {
			t.Errorf("counted %v", got)
		}
		if n := strings.Count(w.log.String(), "client=legacy"); n != 1 {
			t.Errorf("logged %d times within an hour: %s", n, w.log.String())
		}
	})
}

func TestNoSecretIsLogged(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	_, password, err := oauth.ParseBasic(header.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	w.road.broken = errDisk
	w.post("/token", nil, values("grant_type", oauth.GrantTokenExchange, "subject_token", "old-key", "subject_token_type", oauth.TypeAPIKey)).
		refused(500, "server_error", "logged why")
	w.token(header)
	w.post("/token", nil, values("client_id", "billing", "client_secret", password, "grant_type", "x"))
	if !strings.Contains(w.log.String(), "disk gone") {
		t.Error("what failed is not logged")
	}
	for _, s := range []string{password, "old-key"} {
		if strings.Contains(w.log.String(), s) {
			t.Errorf("%q is in the log", s)
		}
	}
}

func TestRootNamesTheProduct(t *testing.T) {
	w := newWorld(t)
	a := w.get("/")
	if a.status != http.StatusOK || !strings.Contains(a.body, "offkey") || !strings.Contains(a.body, issuerURL+"/.well-known/oauth-authorization-server") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%v", a.header)
	}
}

func TestUnknownPathsAreNotRedirected(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/nothing", "//token", "/token/", "/./token", "/a/../token", "/TOKEN"} {
		a := w.post(path, nil, nil)
		if a.status != http.StatusNotFound || a.header.Get("Location") != "" {
			t.Errorf("checklist_6 %s: %d %v", path, a.status, a.header)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*authserver.Options){
		"no issuer":                func(o *authserver.Options) { o.Issuer = "" },
		"a relative issuer":        func(o *authserver.Options) { o.Issuer = "/auth" },
		"an issuer with query":     func(o *authserver.Options) { o.Issuer += "?a" },
		"an issuer with fragment":  func(o *authserver.Options) { o.Issuer += "#a" },
		"no resource":              func(o *authserver.Options) { o.Resource = "" },
		"no store":                 func(o *authserver.Options) { o.Clients = nil },
		"an issuer that is no URL": func(o *authserver.Options) { o.Issuer = "https://[" },
	} {
		o := authserver.Options{Issuer: issuerURL, Resource: api}
		change(&o)
		if _, err := authserver.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMethodsInMetadataAreThoseTaken(t *testing.T) {
	w := newWorld(t)
	c, key := w.withKey(billing(), jose.ES256)
	_, basic := w.withSecret(client.Client{ID: "basic"})
	posted, postedSecret := w.withPost("posted")
	methods := w.get("/.well-known/oauth-authorization-server").json["token_endpoint_auth_methods_supported"].([]any)
	for method, ask := range map[string]func(path string, more url.Values) answer{
		"private_key_jwt": func(path string, more url.Values) answer {
			return w.post(path, nil, merged(w.assertion(c.ID, key), more))
		},
		"client_secret_basic": func(path string, more url.Values) answer { return w.post(path, basic, more) },
		"client_secret_post": func(path string, more url.Values) answer {
			return w.post(path, nil, merged(values("client_id", posted.ID, "client_secret", postedSecret), more))
		},
	} {
		t.Run("checklist_161 "+method, func(t *testing.T) {
			if !slices.Contains(methods, any(method)) {
				t.Errorf("not in %v", methods)
			}
			for path, more := range map[string]url.Values{
				"/token": values("grant_type", oauth.GrantClientCredentials), "/introspect": values("token", "x"), "/revoke": values("token", "x"),
			} {
				if a := ask(path, more); a.status != http.StatusOK {
					t.Errorf("%s: %d %s", path, a.status, a.body)
				}
			}
		})
	}
	t.Run("checklist_162 the methods are named, and none is not among them", func(t *testing.T) {
		if len(methods) != 3 {
			t.Errorf("%v are advertised, three are taken", methods)
		}
	})
}
