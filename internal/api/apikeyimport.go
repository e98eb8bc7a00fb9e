package api

import (
	"net/http"

	"github.com/offkey/offkey/internal/migration"
)

// maxImportBytes bounds a list of apikeys that is brought in.
const maxImportBytes = 512 << 20

// importColumns are the parameters that name the columns of a list.
var importColumns = []string{"key", "label", "owner", "contact", "enabled"}

// importAPIKeys takes in the list that is the body of the request.
func (s *Server) importAPIKeys(r *http.Request) (any, error) {
	allowed := []string{"dry_run", "format"}
	for _, field := range importColumns {
		allowed = append(allowed, "column."+field)
	}
	q, err := readQuery(r, allowed...)
	if err != nil {
		return nil, err
	}
	dryRun, err := q.flag("dry_run")
	if err != nil {
		return nil, err
	}
	f := migration.ImportFile{Format: q.text("format"), Columns: map[string]string{}}
	for _, field := range importColumns {
		if name := q.text("column." + field); name != "" {
			f.Columns[field] = name
		}
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	report, err := s.o.Road.Import(r.Context(), f, http.MaxBytesReader(nil, r.Body, maxImportBytes), actor, dryRun)
	if err != nil && report.Lines == 0 && r.Context().Err() == nil { // nothing of the list could be taken for one
		return nil, notAList(err)
	}
	return report, err
}

// notAList says what is wrong with a list as a whole.
func notAList(err error) error {
	if p := problemOf(err); p.Status < http.StatusInternalServerError {
		return p
	}
	return badRequest("start a CSV list with a line such as `key,label,owner,contact`, or name its columns", "%v", err)
}
