package authserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/oauth"
)

// Bounds of what secret scanning sends at a time. "A large number of matches" may
// come in one message.
const (
	maxScanBody    = 4 << 20
	maxScanMatches = 2000
)

// scanMatch is one credential that secret scanning has found.
type scanMatch struct {
	Token  string `json:"token"`
	Type   string `json:"type"`
	URL    string `json:"url"`
	Source string `json:"source"`
}

// scanLabel says back whether it was one of ours. The credential itself is not
// repeated.
type scanLabel struct {
	Hash  string `json:"token_hash"` // SHA-256, in hex
	Type  string `json:"token_type"`
	Label string `json:"label"`
}

// handleSecretScanning takes the messages of GitHub's secret scanning partner
// program.
func (s *Server) handleSecretScanning(w http.ResponseWriter, r *http.Request) {
	labels, err := s.takeScanMatches(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusOK, labels)
}

func (s *Server) takeScanMatches(w http.ResponseWriter, r *http.Request) ([]scanLabel, error) {
	if err := s.checkSource(s.options.Source(r)); err != nil { // before anything is calculated for it
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxScanBody))
	if err != nil {
		return nil, oauth.InvalidRequest("the body is too long, or was not sent completely").WithCause(err)
	}
	key, err := s.options.ScanningKey(r.Context(), r.Header.Get("Github-Public-Key-Identifier"))
	if err != nil {
		s.countGuess(s.options.Source(r))
		return nil, unsigned("the key that signed this is not known").WithCause(err)
	}
	if err := checkScanSignature(key, body, r.Header.Get("Github-Public-Key-Signature")); err != nil {
		s.countGuess(s.options.Source(r))
		return nil, unsigned("the signature does not fit the body").WithCause(err)
	}
	var matches []scanMatch
	if err := json.Unmarshal(body, &matches); err != nil || len(matches) > maxScanMatches {
		return nil, oauth.InvalidRequest("the body must be an array of at most 2000 matches").WithCause(err)
	}
	reports := make([]leak.Reported, len(matches))
	for i, m := range matches {
		reports[i] = leak.Reported{Credential: m.Token, Where: m.URL}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), reportDeadline)
	defer cancel()
	ours, err := s.options.Leaks.TakeReports(ctx, leak.ByGitHub, s.options.Source(r), reports, s.options.LeakScanning == ReportsBlock)
	if err != nil {
		return nil, oauth.TemporarilyUnavailable("the matches could not be taken: send them again").WithCause(err)
	}
	labels := make([]scanLabel, len(matches))
	for i, m := range matches {
		sum := sha256.Sum256([]byte(m.Token))
		labels[i] = scanLabel{hex.EncodeToString(sum[:]), m.Type, "false_positive"}
		if ours[i] {
			labels[i].Label = "true_positive"
		}
	}
	return labels, nil
}

func unsigned(words string) *oauth.Error {
	return oauth.InvalidRequest(words).WithStatus(http.StatusForbidden)
}

// checkScanSignature checks that body was signed as it came: ECDSA over P-256
// with SHA-256, in DER and base64.
func checkScanSignature(key *ecdsa.PublicKey, body []byte, signature string) error {
	der, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(body)
	if !ecdsa.VerifyASN1(key, digest[:], der) {
		return errors.New("it was signed with another key, or changed on the way")
	}
	return nil
}
