package api

import (
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// calls says who called what, from all recorded calls.
func (s *Server) calls(r *http.Request) (any, error) {
	q, err := readQuery(r, "apikey", "client", "since")
	if err != nil {
		return nil, err
	}
	since, err := q.since("since", s.now())
	if err != nil {
		return nil, err
	}
	if since.IsZero() {
		since = s.now().Add(-24 * time.Hour)
	}
	var c *traffic.Credential
	switch {
	case q.text("apikey") != "" && q.text("client") != "":
		return nil, badRequest("ask for one of them", "apikey and client are both given")
	case q.text("apikey") != "":
		k, err := s.findAPIKey(r.Context(), q.text("apikey"))
		if err != nil {
			return nil, err
		}
		c = &traffic.Credential{Kind: traffic.KindAPIKey, ID: k.ID}
	case q.text("client") != "":
		found, err := s.findClient(r.Context(), q.text("client"))
		if err != nil {
			return nil, err
		}
		c = &traffic.Credential{Kind: traffic.KindClient, ID: found.ID}
	}
	return s.o.Road.CallsOf(r.Context(), c, since)
}
