package authserver

import (
	"net/http"

	"github.com/offkey/offkey/internal/oauth"
)

// Protected is an endpoint that is itself a resource, at /userinfo.
func (s *Server) Protected(w http.ResponseWriter, r *http.Request) {
	verified, err := s.protected(w, r, "/userinfo")
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"sub": verified.Subject()})
}

// CodeKey answers with the key that a pushed request names for its code.
func (s *Server) CodeKey(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	from, jkt := sender{}, ""
	if err == nil {
		from, err = s.readSender(w, r, "/par")
	}
	if err == nil {
		if jkt, err = from.codeKey(form); err == nil {
			err = s.spendProof(r.Context(), from.proof)
		}
	}
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, oauth.Confirmation{JKT: jkt})
}

// AllowVouched sets how many clients one software statement may bring.
func (s *Server) AllowVouched(n int) { s.mostVouched = n }

// AllowSilent sets how many codes come at once without a question.
func (s *Server) AllowSilent(n int) { s.silent = newSilentLimiter(n) }
