package authserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

const typeSignedIntrospection = "application/" + oauth.TypTokenIntrospection

// wantsSigned reports whether the caller asks for a signed answer, which it can
// show to others (RFC 9701 §4).
func wantsSigned(r *http.Request) bool {
	for _, accept := range r.Header["Accept"] {
		for part := range strings.SplitSeq(accept, ",") {
			mediaType, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(mediaType), typeSignedIntrospection) {
				return true
			}
		}
	}
	return false
}

// writeSigned answers with a JWT for the caller alone. What it says of the token
// is under one claim, and neither sub nor exp is beside it, so that nobody takes
// the answer for a token (RFC 9701 §5, §8.1). It is signed with the key that
// signs access tokens.
func (s *Server) writeSigned(w http.ResponseWriter, resp oauth.IntrospectionResponse, to *client.Client) error {
	now := s.options.Now()
	claims, err := json.Marshal(struct {
		Issuer   string                      `json:"iss"`
		Audience string                      `json:"aud"`
		IssuedAt int64                       `json:"iat"`
		About    oauth.IntrospectionResponse `json:"token_introspection"`
	}{s.options.Issuer, to.ID, now.Unix(), resp})
	if err != nil {
		return fmt.Errorf("signed introspection: %w", err)
	}
	signer, err := s.options.Ring().Signer(now)
	if err != nil {
		return fmt.Errorf("signed introspection: %w", err)
	}
	raw, err := signer.Sign(oauth.TypTokenIntrospection, claims)
	if err != nil {
		return fmt.Errorf("signed introspection: %w", err)
	}
	w.Header().Set("Content-Type", typeSignedIntrospection)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	_, _ = w.Write([]byte(raw))
	return nil
}

// actorOf is an act chain as introspection tells it.
func actorOf(a *token.Actor) *oauth.Actor {
	if a == nil {
		return nil
	}
	return &oauth.Actor{Sub: a.Subject, Act: actorOf(a.Actor)}
}
