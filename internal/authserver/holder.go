package authserver

import (
	"context"
	"net/http"
)

// Holders answers those who hold an apikey.
type Holders interface {
	// HeldBy is what its holder may know of an apikey, as JSON encodes it. One
	// that is not known and one that is blocked are the same *oauth.Error
	// invalid_token.
	HeldBy(ctx context.Context, apikey string) (any, error)
}

// handleHolder tells whoever holds an apikey how far its retirement has gone,
// and what they would have instead. The apikey comes as it does to register: in
// the header alone, and wrong ones count against their source.
func (s *Server) handleHolder(w http.ResponseWriter, r *http.Request) {
	held, err := s.held(r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusOK, held)
}

func (s *Server) held(r *http.Request) (any, error) {
	apikey, err := readBearer(r)
	if err != nil {
		return nil, err
	}
	source := s.options.Source(r)
	if err := s.checkSource(source); err != nil {
		return nil, err
	}
	held, err := s.options.Holders.HeldBy(r.Context(), apikey)
	if e, named := asOAuth(err); named && e.Status == http.StatusUnauthorized {
		s.countGuess(source)
	}
	return held, err
}
