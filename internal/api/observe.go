package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/offkey/offkey/internal/traffic/accesslog"
)

// maxLogBatch bounds one part of a log, in bytes.
const maxLogBatch = 32 << 20

// openLog says where reading goes on of the log whose beginning is the body.
func (s *Server) openLog(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	head, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, migration.LogHead))
	if err != nil {
		return nil, err
	}
	return s.o.Road.OpenLog(r.Context(), head)
}

// readLog counts the part of a log that is the body.
func (s *Server) readLog(r *http.Request) (any, error) {
	q, err := readQuery(r, "id", "start", "head", "position", "name", "format", "tail", "since", "until", "whole")
	if err != nil {
		return nil, err
	}
	b := migration.LogBatch{Name: q.text("name")}
	b.Place.ID, b.Place.Start = q.text("id"), q.text("start")
	if b.Place.Head, err = q.bytes("head"); err != nil {
		return nil, err
	}
	if b.Place.Position, err = q.bytes("position"); err != nil {
		return nil, err
	}
	b.Format, b.Tail = accesslog.Format(q.text("format")), q.text("tail")
	if b.Since, err = q.since("since", s.now()); err != nil {
		return nil, err
	}
	if b.Until, err = q.since("until", s.now()); err != nil {
		return nil, err
	}
	if b.Whole, err = q.flag("whole"); err != nil {
		return nil, err
	}
	if b.Place.ID == "" || b.Place.Start == "" || b.Place.Head == 0 {
		return nil, badRequest("ask /observe/open first", "the query lacks id, start or head")
	}
	place, err := s.o.Road.ReadLog(r.Context(), b, http.MaxBytesReader(nil, r.Body, maxLogBatch))
	switch {
	case errors.Is(err, traffic.ErrLogMoved):
		return nil, problem(http.StatusConflict, "log_moved", "ask /observe/open where to go on", "%v", err)
	case errors.Is(err, migration.ErrLogChanged):
		return nil, problem(http.StatusConflict, "log_changed", "was it cut or written over? Give the file as it was, or what is new of it in a file of its own", "%v", err)
	case errors.Is(err, migration.ErrLogFormat):
		return nil, badRequest("", "%v", err)
	}
	return place, err
}
