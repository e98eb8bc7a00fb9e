package authserver

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/offkey/offkey/internal/oauth"
)

// Holders answers those who hold an apikey.
type Holders interface {
	// HeldBy is what its holder may know of an apikey, as JSON encodes it. One
	// that is not known and one that is blocked are the same *oauth.Error
	// invalid_token.
	HeldBy(ctx context.Context, apikey string) (any, error)
	// ExtendHeld gives it more time, once, and answers as HeldBy.
	ExtendHeld(ctx context.Context, apikey, reason string) (any, error)
}

// handleHolder tells whoever holds an apikey how far its retirement has gone,
// and what they would have instead. The apikey comes as it does to register: in
// the header alone, and wrong ones count against their source.
func (s *Server) handleHolder(w http.ResponseWriter, r *http.Request) {
	held, err := s.held(r, s.options.Holders.HeldBy)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusOK, held)
}

// longestExtension bounds the request for more time, in bytes.
const longestExtension = 4096

// handleExtend gives whoever holds an apikey more time, if the operator lets
// them: once, with a reason that is kept.
func (s *Server) handleExtend(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Reason string `json:"reason"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, longestExtension)).Decode(&asked); err != nil {
		s.writeError(w, r, oauth.InvalidRequest("send a JSON object with the member reason"))
		return
	}
	held, err := s.held(r, func(ctx context.Context, apikey string) (any, error) {
		return s.options.Holders.ExtendHeld(ctx, apikey, asked.Reason)
	})
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusOK, held)
}

// held asks about the apikey that a request brings.
func (s *Server) held(r *http.Request, ask func(ctx context.Context, apikey string) (any, error)) (any, error) {
	apikey, err := readBearer(r)
	if err != nil {
		return nil, err
	}
	source := s.options.Source(r)
	if err := s.checkSource(source); err != nil {
		return nil, err
	}
	held, err := ask(r.Context(), apikey)
	if e, named := asOAuth(err); named && e.Status == http.StatusUnauthorized {
		s.countGuess(source)
	}
	return held, err
}
