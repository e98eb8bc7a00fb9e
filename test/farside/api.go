package farside

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

func (w *World) serveRegister(rw http.ResponseWriter, r *http.Request) {
	apikey, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var scopes oauth.Scope
	var known, wait bool
	w.With(func(s *State) { scopes, known = s.APIKeys[apikey]; wait = s.Approval })
	if !known {
		rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		refuse(rw, oauth.InvalidToken("the apikey is not known"))
		return
	}
	metadata, err := oauth.ParseClientMetadata(body)
	if err != nil {
		refuse(rw, oauth.InvalidClientMetadata("the metadata cannot be read"))
		return
	}
	keys, err := jose.ParseKeySet(metadata.JWKS)
	if err != nil || metadata.TokenEndpointAuthMethod != oauth.AuthPrivateKeyJWT || !slices.Equal(metadata.GrantTypes, []string{oauth.GrantClientCredentials}) {
		refuse(rw, oauth.InvalidClientMetadata("jwks, method or grant is not acceptable"))
		return
	}
	w.With(func(s *State) { s.Registrations = append(s.Registrations, metadata) })
	if wait {
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"type": "https://example.com/problems/upgrade_needs_approval", "status": 403, "code": "upgrade_needs_approval",
			"title": "An operator has to approve", "detail": "this apikey is used by two programs",
		})
		return
	}
	id := fmt.Sprintf("client-%s", keys.Keys[0].Thumbprint()[:8])
	w.Register(id, Client{Keys: keys, Scopes: scopes})
	answer := map[string]any{
		"client_id": id, "client_name": metadata.ClientName, "client_id_issued_at": w.now().Unix(), "scope": scopes.String(),
		"token_endpoint_auth_method": oauth.AuthPrivateKeyJWT, "grant_types": metadata.GrantTypes, "jwks": metadata.JWKS,
		"registration_client_uri": w.IssuerURL + "/register/" + id, "registration_access_token": "manages " + id,
	}
	w.With(func(s *State) {
		if s.Pending {
			answer["offkey_status"], answer["offkey_reason"] = "pending", "an operator must approve this client"
		}
		if len(s.Withheld) > 0 {
			answer["scope"], answer["offkey_pending_scope"] = scopes.Minus(s.Withheld).String(), s.Withheld.String()
		}
	})
	writeJSON(rw, http.StatusCreated, answer)
}

func (w *World) serveAPI(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/.well-known/"+oauth.SuffixProtectedResource {
		m := oauth.ResourceMetadata{Resource: w.APIURL, AuthorizationServers: []string{w.IssuerURL}}
		w.With(func(s *State) {
			if s.Resource != nil {
				s.Resource(&m)
			}
		})
		if m.Resource == "" {
			http.NotFound(rw, r)
			return
		}
		writeJSON(rw, http.StatusOK, m)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var needs string
	w.With(func(s *State) {
		s.Calls = append(s.Calls, Call{r.Method, r.URL.Path, r.Header.Get("Authorization"), string(body)})
		needs = s.Routes[r.Method+" "+r.URL.Path]
	})
	challenge, status := w.judge(r.Header.Get("Authorization"), needs)
	if status != http.StatusOK {
		challenge.ResourceMetadata = w.APIURL + "/.well-known/" + oauth.SuffixProtectedResource
		rw.Header().Set("WWW-Authenticate", challenge.String())
		writeJSON(rw, status, map[string]string{"refused": challenge.Error})
		return
	}
	writeJSON(rw, http.StatusOK, map[string]string{"path": r.URL.Path, "body": string(body)})
}

// judge is what a resource server does with a token (RFC 9068 §4).
func (w *World) judge(authorization, needs string) (oauth.Challenge, int) {
	raw, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return oauth.Challenge{Scheme: "Bearer"}, http.StatusUnauthorized
	}
	invalid := oauth.ChallengeFor("Bearer", oauth.InvalidToken("the token is not valid here"))
	jwt, err := jose.Parse(raw, jose.ES256)
	if err != nil {
		return invalid, http.StatusUnauthorized
	}
	payload, err := jwt.Verify(w.signing.Public())
	if err != nil || jwt.Header().Type != oauth.TypAccessToken {
		return invalid, http.StatusUnauthorized
	}
	var claims struct {
		Issuer   string        `json:"iss"`
		Audience jose.Audience `json:"aud"`
		Expires  int64         `json:"exp"`
		Scope    string        `json:"scope"`
	}
	var revoked bool
	w.With(func(s *State) { revoked = s.Revoked[raw] })
	if err := jose.DecodeClaims(payload, &claims); err != nil || revoked || claims.Issuer != w.IssuerURL ||
		!claims.Audience.Has(w.APIURL) || w.now().After(time.Unix(claims.Expires, 0)) {
		return invalid, http.StatusUnauthorized
	}
	if needs != "" && !slices.Contains(strings.Fields(claims.Scope), needs) {
		refused := oauth.ChallengeFor("Bearer", oauth.InsufficientScope("the call needs another scope"))
		refused.Scope = oauth.Scope{needs}
		return refused, http.StatusForbidden
	}
	return oauth.Challenge{}, http.StatusOK
}
