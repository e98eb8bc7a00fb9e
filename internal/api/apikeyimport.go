package api

import (
	"errors"
	"net/http"
	"slices"

	"github.com/offkey/offkey/internal/apikey"
)

// importBatch is how many apikeys are written in one transaction.
const importBatch = 5000

// imported says what an import has changed, or would change.
type imported struct {
	apikey.ImportResult
	Rows     int      `json:"rows"`
	Warnings []string `json:"warnings"`
	DryRun   bool     `json:"dry_run,omitempty"`
}

// importAPIKeys reads the whole list before anything is written. Bringing the
// same list in again changes nothing.
func (s *Server) importAPIKeys(r *http.Request) (any, error) {
	q, err := readQuery(r, "dry_run", "format")
	if err != nil {
		return nil, err
	}
	dryRun, err := q.flag("dry_run")
	if err != nil {
		return nil, err
	}
	list, err := readKeyList(http.MaxBytesReader(nil, r.Body, maxImportBytes), q.text("format"), s.now(), s.o.Fingerprint)
	if err != nil {
		return nil, err
	}
	out := imported{Rows: list.rows, Warnings: orNone(list.warnings()), DryRun: dryRun}
	for batch := range slices.Chunk(list.keys, importBatch) {
		var part apikey.ImportResult
		if dryRun {
			part, err = s.foresee(r, batch)
		} else {
			part, err = s.store.ImportAPIKeys(r.Context(), batch, event(r, "apikeys.imported", "", map[string]int{"apikeys": len(batch)}))
		}
		if err != nil {
			return nil, err
		}
		out.Added += part.Added
		out.Updated += part.Updated
		out.Unchanged += part.Unchanged
	}
	return out, nil
}

// foresee is what importing would change. It asks apikey by apikey, as the
// import does.
func (s *Server) foresee(r *http.Request, keys []*apikey.Key) (res apikey.ImportResult, err error) {
	differs := func(now, then string) bool { return now != "" && now != then }
	for _, k := range keys {
		old, err := s.store.APIKeyByFingerprint(r.Context(), k.Fingerprint)
		switch {
		case errors.Is(err, apikey.ErrNotFound):
			res.Added++
		case err != nil:
			return apikey.ImportResult{}, err
		case old.KnownBy != apikey.KnownByImport || differs(k.Label, old.Label) || differs(k.Owner, old.Owner) || differs(k.Contact, old.Contact):
			res.Updated++
		default:
			res.Unchanged++
		}
	}
	return res, nil
}
