package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/report"
)

// typReport is the type of a statement about a report.
const typReport = "offkey-report+jwt"

// reportStatement is what is signed about a report: which bytes it has, and what
// it is about. It is a JWT, so that any tool reads it; the report stays as it is.
type reportStatement struct {
	Issuer   string `json:"iss"`
	IssuedAt int64  `json:"iat"`
	AsOf     int64  `json:"as_of"`
	SHA256   string `json:"sha256"` // of the file, in hex
	Format   string `json:"format"`
	Accepted int    `json:"apikeys_accepted"`
	Audit    string `json:"audit_head"`
}

// reportAnswer is a report with its statement and the keys to check it by.
type reportAnswer struct {
	Format    string                    `json:"format"`
	AsOf      time.Time                 `json:"as_of"`
	Summary   migration.EvidenceSummary `json:"summary"`
	Document  string                    `json:"document"`
	Statement string                    `json:"statement"`
	Keys      json.RawMessage           `json:"keys"`
}

func (s *Server) report(r *http.Request) (any, error) {
	q, err := readQuery(r, "format", "as_of")
	if err != nil {
		return nil, err
	}
	format := q.text("format")
	if format == "" {
		format = "html"
	}
	if !slices.Contains(report.Formats, format) {
		return nil, badRequest("", "a report is %s, not %q", strings.Join(report.Formats, ", "), format)
	}
	var asOf time.Time
	if text := q.text("as_of"); text != "" {
		if asOf, err = parseMoment(text); err != nil {
			return nil, badRequest("", "as_of: %v", err)
		}
		if _, dateErr := time.Parse(time.DateOnly, text); dateErr == nil {
			asOf = asOf.AddDate(0, 0, 1).Add(-time.Second) // the whole of that day
		}
		if asOf.After(s.now().AddDate(0, 0, 1)) {
			return nil, badRequest("", "as_of is %s, which lies ahead", text)
		}
	}
	e, err := s.o.Road.Evidence(r.Context(), asOf)
	if err != nil {
		return nil, err
	}
	around := s.o.Surroundings()
	e.Issuer, e.Version = around.Issuer, around.Version
	document, err := report.Write(format, &e)
	if err != nil {
		return nil, err
	}
	answer := reportAnswer{Format: format, AsOf: e.AsOf, Summary: e.Summary, Document: string(document)}
	answer.Statement, answer.Keys, err = s.stateReport(document, format, &e)
	return answer, err
}

// stateReport signs what the report is.
func (s *Server) stateReport(document []byte, format string, e *migration.Evidence) (statement string, keys json.RawMessage, err error) {
	ring, now := s.o.Keyring.Current(), s.now()
	signer, err := ring.Signer(now)
	if err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(document)
	claims, err := json.Marshal(reportStatement{
		Issuer: e.Issuer, IssuedAt: now.Unix(), AsOf: e.AsOf.Unix(), SHA256: hex.EncodeToString(sum[:]), Format: format, Accepted: e.Summary.Accepted,
		Audit: fmt.Sprintf("%d %s", e.Audit.Head, e.Audit.Hash),
	})
	if err != nil {
		return "", nil, err
	}
	if statement, err = signer.Sign(typReport, claims); err != nil {
		return "", nil, err
	}
	keys, err = json.Marshal(ring.Published(now))
	return statement, keys, err
}
