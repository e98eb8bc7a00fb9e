package api

import (
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/migration/importfile"
)

// maxImportBytes bounds a list of apikeys that is brought in.
const maxImportBytes = 512 << 20

// The headers with what hashes were made with, in base64: neither is for a URL.
const (
	saltHeader   = "Import-Salt"
	pepperHeader = "Import-Pepper"
)

// importAPIKeys takes in the list that is the body of the request.
func (s *Server) importAPIKeys(r *http.Request) (any, error) {
	o, err := importOptions(r)
	if err != nil {
		return nil, err
	}
	report, err := s.o.Road.Import(r.Context(), o, http.MaxBytesReader(nil, r.Body, maxImportBytes))
	switch {
	case errors.Is(err, migration.ErrTooManyGone):
		return nil, problem(http.StatusConflict, "too_many_gone", "look at the list; if it is right, say so with --force", "%v: nothing was changed", err)
	case err != nil && report.Lines == 0 && r.Context().Err() == nil: // nothing of the list could be taken for one
		return nil, notAList(err)
	}
	return report, err
}

func importOptions(r *http.Request) (o migration.ImportOptions, err error) {
	allowed := []string{"dry_run", "format", "follow", "force", "algorithm", "salt_last"}
	for _, field := range importfile.Fields {
		allowed = append(allowed, "column."+field)
	}
	q, err := readQuery(r, allowed...)
	if err != nil {
		return o, err
	}
	for name, to := range map[string]*bool{"dry_run": &o.DryRun, "force": &o.Force, "salt_last": &o.File.Hash.SaltLast} {
		if *to, err = q.flag(name); err != nil {
			return o, err
		}
	}
	var salt []byte
	for name, to := range map[string]*[]byte{pepperHeader: &o.Pepper, saltHeader: &salt} {
		if *to, err = base64.StdEncoding.DecodeString(r.Header.Get(name)); err != nil {
			return o, badRequest("", "the header %s is not base64", name)
		}
	}
	o.File.Format, o.File.Columns, o.Follow = q.text("format"), map[string]string{}, q.text("follow")
	o.File.Hash.Algorithm, o.File.Hash.Salt = q.text("algorithm"), string(salt)
	for _, field := range importfile.Fields {
		if name := q.text("column." + field); name != "" {
			o.File.Columns[field] = name
		}
	}
	o.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	return o, nil
}

// notAList says what is wrong with a list as a whole.
func notAList(err error) error {
	if p := problemOf(err); p.Status < http.StatusInternalServerError {
		return p
	}
	return badRequest("name its --format; a CSV list starts with a line such as `key,label,owner,contact`, or name its columns", "%v", err)
}
