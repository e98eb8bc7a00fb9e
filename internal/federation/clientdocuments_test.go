package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// documentWorld is a far side that serves one document.
type documentWorld struct {
	*ClientDocuments
	far   *far
	clock *moving
	id    string
}

func newDocumentWorld(t *testing.T, change func(*Options)) *documentWorld {
	t.Helper()
	w := &documentWorld{far: newFar(t), clock: newMoving()}
	w.id = w.far.URL + "/client.json"
	w.ClientDocuments = NewClientDocuments(w.far.fetcher(t, func(o *Options) {
		o.MaxBytes = MaxDocument
		if change != nil {
			change(o)
		}
	}), w.clock.now)
	return w
}

// document is a good one with some members changed; nil ones are left out.
func (w *documentWorld) document(changes map[string]any) map[string]any {
	doc := map[string]any{
		"client_id": w.id, "client_name": "Inspector", "redirect_uris": []string{"http://localhost:6274/callback", "http://127.0.0.1/callback"},
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"}, "token_endpoint_auth_method": "none",
	}
	maps.Copy(doc, changes)
	maps.DeleteFunc(doc, func(_ string, v any) bool { return v == nil })
	return doc
}

// serve publishes a document with the headers given.
func (w *documentWorld) serve(t *testing.T, doc any, headers ...string) {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	w.far.serve(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			rw.Header().Set(headers[i], headers[i+1])
		}
		rw.Write(raw)
	})
}

func (w *documentWorld) refused(t *testing.T, id, says string) {
	t.Helper()
	c, err := w.Client(t.Context(), id)
	var e *oauth.Error
	if !errors.As(err, &e) || e.Code != oauth.CodeInvalidClient || !strings.Contains(e.Description, says) {
		t.Errorf("%+v, %v, want invalid_client with %q", c, err, says)
	}
}

func TestAClientIsWhatItsDocumentSays(t *testing.T) {
	w := newDocumentWorld(t, nil)
	w.serve(t, w.document(map[string]any{"logo_uri": "https://inspector.example/l.png", "scope": "read:orders", "post_logout_redirect_uris": []string{"http://localhost/bye"}}))
	c, err := w.Client(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != w.id || c.Name != "Inspector" || c.Source != client.SourceDocument || c.Status != client.Active || c.AuthMethod != oauth.AuthNone || c.ApplicationType != client.Native ||
		c.LogoURI == "" || c.Scopes.String() != "read:orders" || len(c.RedirectURIs) != 2 || c.Allows(oauth.GrantClientCredentials) {
		t.Errorf("%+v", c)
	}
	if w.serve(t, w.document(map[string]any{"client_name": nil})); true {
		w.clock.at.Add(3600)
		if c, err := w.Client(t.Context(), w.id); err != nil || !strings.HasPrefix(c.Name, "127.0.0.1") {
			t.Errorf("checklist_60 without a name the host is shown: %+v, %v", c, err)
		}
	}
}

func TestChecklist188(t *testing.T) {
	w := newDocumentWorld(t, nil)
	before := w.far.hits.Load()
	for _, id := range []string{
		"https://client.example", "ftp://client.example/c", "http://client.example/c", "https://user@client.example/c", "https://client.example/c#f", "https://client.example/a/../c", "https://client.example/./c",
		"https://client.example/%2e%2e/c", "https://client.example/c d", "https://client.example/" + strings.Repeat("a", 256), "https:///c", "https://client.example\\@evil.example/c",
	} {
		t.Run("checklist_188 "+id, func(t *testing.T) { w.refused(t, id, "client_id") })
	}
	if w.far.hits.Load() != before {
		t.Error("something was fetched")
	}
	for _, id := range []string{"/client.json", "/a/b/c", "/c?v=1"} {
		t.Run("checklist_188 is fetched: "+id, func(t *testing.T) {
			w.id = w.far.URL + id
			w.serve(t, w.document(nil))
			if _, err := w.Client(t.Context(), w.id); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestChecklist189to193(t *testing.T) {
	for name, tt := range map[string]struct {
		changes map[string]any
		headers []string
		says    string
	}{
		"checklist_189 another client_id":              {map[string]any{"client_id": "https://client.example/c"}, nil, "client_id in the document"},
		"checklist_189 no client_id":                   {map[string]any{"client_id": nil}, nil, "client_id in the document"},
		"checklist_189 client_id is no string":         {map[string]any{"client_id": 7}, nil, "client_id in the document"},
		"checklist_190 client_secret_basic":            {map[string]any{"token_endpoint_auth_method": "client_secret_basic"}, nil, "token_endpoint_auth_method"},
		"checklist_190 client_secret_post":             {map[string]any{"token_endpoint_auth_method": "client_secret_post"}, nil, "token_endpoint_auth_method"},
		"checklist_190 client_secret_jwt":              {map[string]any{"token_endpoint_auth_method": "client_secret_jwt"}, nil, "token_endpoint_auth_method"},
		"checklist_190 a secret":                       {map[string]any{"client_secret": "x"}, nil, "client_secret"},
		"checklist_190 the end of a secret":            {map[string]any{"client_secret_expires_at": 0}, nil, "client_secret_expires_at"},
		"checklist_195 no redirect URI":                {map[string]any{"redirect_uris": nil}, nil, "redirect_uris"},
		"checklist_195 a redirect by javascript":       {map[string]any{"redirect_uris": []string{"javascript:alert(1)"}}, nil, "redirect_uris"},
		"checklist_198 private_key_jwt without a key":  {map[string]any{"token_endpoint_auth_method": "private_key_jwt"}, nil, "jwks"},
		"checklist_193 longer than 5 KB":               {map[string]any{"contacts": []string{strings.Repeat("a", MaxDocument)}}, nil, "5 KB"},
		"checklist_189 no authorization_code":          {map[string]any{"grant_types": []string{"client_credentials"}}, nil, "authorization_code"},
		"checklist_189 not JSON by its type":           {nil, []string{"Content-Type", "text/html"}, "JSON"},
		"checklist_189 without a type":                 {nil, []string{"Content-Type", ""}, "JSON"},
		"checklist_189 certificate-bound, which is no": {map[string]any{"tls_client_certificate_bound_access_tokens": true}, nil, "not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDocumentWorld(t, nil)
			w.serve(t, w.document(tt.changes), tt.headers...)
			w.refused(t, w.id, tt.says)
		})
	}
	for _, status := range []int{201, 204, 206, 301, 302, 303, 307, 308, 404, 500} {
		t.Run(fmt.Sprintf("checklist_191 status %d", status), func(t *testing.T) {
			w := newDocumentWorld(t, nil)
			followed := false
			w.far.serve(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					followed = true
				}
				rw.Header().Set("Content-Type", "application/json")
				rw.Header().Set("Location", "/elsewhere")
				rw.WriteHeader(status)
				if status >= 200 && status != 204 && status != 304 {
					_ = json.NewEncoder(rw).Encode(w.document(nil))
				}
			})
			w.refused(t, w.id, "200 and no redirect")
			if followed {
				t.Error("it was followed")
			}
		})
	}
	t.Run("checklist_192 loopback is not fetched unless that is allowed", func(t *testing.T) {
		w := newDocumentWorld(t, func(o *Options) { o.AllowPrivate = false })
		w.serve(t, w.document(nil))
		before := w.far.hits.Load()
		w.refused(t, w.id, "public address")
		if w.far.hits.Load() != before {
			t.Error("the server was reached")
		}
	})
	t.Run("checklist_193 a slow server is given up", func(t *testing.T) {
		w := newDocumentWorld(t, func(o *Options) { o.Timeout = 50 * time.Millisecond })
		w.far.serve(func(rw http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		w.refused(t, w.id, "cannot be fetched")
	})
	t.Run("checklist_189 what is not for us is passed over", func(t *testing.T) {
		w := newDocumentWorld(t, nil)
		w.serve(t, w.document(map[string]any{
			"grant_types": []string{"authorization_code", "urn:example:other", "client_credentials"}, "response_types": []string{"code", "id_token"}, "software_statement": "a.b.c", "other": 7,
		}), "Content-Type", "application/oauth-client+json; charset=utf-8")
		c, err := w.Client(t.Context(), w.id)
		if err != nil || len(c.Grants) != 1 {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func TestChecklist194(t *testing.T) {
	for header, fresh := range map[string]time.Duration{"": 15 * time.Minute, "max-age=120": 2 * time.Minute, "max-age=0": 30 * time.Second, "no-store": 30 * time.Second, "max-age=31536000": 24 * time.Hour} {
		t.Run("checklist_194 Cache-Control "+header, func(t *testing.T) {
			w := newDocumentWorld(t, nil)
			w.serve(t, w.document(nil), "Cache-Control", header)
			for _, step := range []struct {
				after time.Duration
				hits  int64
			}{{0, 1}, {fresh - time.Second, 1}, {time.Second, 2}} {
				w.clock.at.Add(int64(step.after / time.Second))
				if _, err := w.Client(t.Context(), w.id); err != nil || w.far.hits.Load() != step.hits {
					t.Errorf("after %v: %d fetches, %v", step.after, w.far.hits.Load(), err)
				}
			}
		})
	}
	t.Run("checklist_194 an error is never remembered", func(t *testing.T) {
		w := newDocumentWorld(t, nil)
		w.far.breakDown()
		w.refused(t, w.id, "cannot be fetched")
		w.serve(t, w.document(map[string]any{"client_secret": "x"}))
		w.refused(t, w.id, "client_secret")
		w.serve(t, w.document(nil))
		if _, err := w.Client(t.Context(), w.id); err != nil {
			t.Error(err)
		}
	})
	t.Run("checklist_197 what is no longer there is not used", func(t *testing.T) {
		w := newDocumentWorld(t, nil)
		w.serve(t, w.document(nil), "Cache-Control", "max-age=60")
		if _, err := w.Client(t.Context(), w.id); err != nil {
			t.Fatal(err)
		}
		w.far.breakDown()
		if _, err := w.Client(t.Context(), w.id); err != nil {
			t.Errorf("while it is fresh: %v", err)
		}
		w.clock.at.Add(60)
		w.refused(t, w.id, "cannot be fetched")
	})
}

func TestStrangersMakeUsFetchLittleAndKeepLittle(t *testing.T) {
	w := newDocumentWorld(t, nil)
	w.far.breakDown()
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() { _, _ = w.Client(context.Background(), fmt.Sprintf("%s/%d", w.far.URL, i)) })
	}
	all.Wait()
	if n := w.far.hits.Load(); n > 25 {
		t.Errorf("one host was asked %d times", n)
	}
	if n := len(w.kept.byURI); n > maxDocuments {
		t.Errorf("%d are kept", n)
	}
}

func TestWhoeverAddsToAClientChangesNoOther(t *testing.T) {
	w := newDocumentWorld(t, nil)
	w.serve(t, w.document(nil))
	for range 2 {
		c, err := w.Client(t.Context(), w.id)
		if err != nil || c.Owner != "" {
			t.Fatalf("%+v, %v", c, err)
		}
		c.Owner, c.Scopes = "x", oauth.Scope{"y"}
	}
}
