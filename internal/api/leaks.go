package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/migration"
)

// leakOrder says what leaked: the credential itself, or the id of an apikey, of a
// client or of a record.
type leakOrder struct {
	Secret  string `json:"secret"`
	ID      string `json:"id"`
	Since   string `json:"since"`
	Where   string `json:"where"`
	Reason  string `json:"reason"`
	Contain bool   `json:"contain"`
	Notify  bool   `json:"notify"`
}

func (s *Server) openLeak(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[leakOrder](r)
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"where": p.Where, "reason": p.Reason} {
		if err := checkLine(name, text, false); err != nil {
			return nil, err
		}
	}
	o := migration.LeakOrder{By: leak.ByOperator, Where: p.Where, Reason: p.Reason, Contain: p.Contain, Notify: p.Notify, DryRun: dryRun}
	o.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	if o.Since, err = (query{map[string][]string{"since": {p.Since}}}).since("since", s.now()); err != nil {
		return nil, err
	}
	if o.Since.After(s.now()) {
		return nil, badRequest("", "since lies ahead")
	}
	if o.Subject, err = s.leakSubject(r, p); err != nil {
		return nil, err
	}
	return s.o.Road.OpenLeak(r.Context(), o)
}

// leakSubject finds what an order is about.
func (s *Server) leakSubject(r *http.Request, p leakOrder) (leak.Subject, error) {
	switch {
	case (p.Secret == "") == (p.ID == ""):
		return leak.Subject{}, badRequest("give the credential by --apikey-stdin or --apikey-file, or its id by --id", "it is not clear what leaked")
	case p.Secret != "":
		subject, err := s.o.Road.FindLeaked(r.Context(), p.Secret)
		if errors.Is(err, migration.ErrNotOurs) {
			return subject, problem(http.StatusNotFound, "not_found", "revoke it where it was made", "%v", err)
		}
		return subject, err
	case strings.HasPrefix(p.ID, "lk_"):
		record, err := s.findLeak(r.Context(), p.ID)
		if err != nil {
			return leak.Subject{}, err
		}
		return record.Subject, nil
	}
	k, err := s.findAPIKey(r.Context(), p.ID)
	if err == nil {
		return leak.Subject{Kind: leak.KindAPIKey, ID: k.ID, Last4: k.Last4}, nil
	}
	if problemOf(err).Status != http.StatusNotFound {
		return leak.Subject{}, err
	}
	c, err := s.findClient(r.Context(), p.ID)
	if err != nil {
		return leak.Subject{}, problem(http.StatusNotFound, "not_found", "see `offkey apikeys list` and `offkey clients list`", "no apikey, client or leak is named %q", p.ID)
	}
	return leak.Subject{Kind: leak.KindClient, ID: c.ID}, nil
}

func (s *Server) listLeaks(r *http.Request) (any, error) {
	q, err := readQuery(r, "open", "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	open, err := q.flag("open")
	if err != nil {
		return nil, err
	}
	leaks, next, err := s.o.Road.ListLeaks(r.Context(), leak.Filter{OpenOnly: open, Before: q.text("after"), Limit: limit})
	if err != nil {
		return nil, err
	}
	answer := struct {
		Leaks []migration.LeakReport `json:"leaks"`
		Next  *string                `json:"next"`
	}{Leaks: orNone(leaks)}
	if next != "" {
		answer.Next = &next
	}
	return answer, nil
}

func (s *Server) showLeak(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	record, err := s.findLeak(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.o.Road.ShowLeak(r.Context(), record.ID)
}

// findLeak takes an id, or a unique beginning of one of the newest.
func (s *Server) findLeak(ctx context.Context, ref string) (*leak.Record, error) {
	if record, err := s.store.Leak(ctx, ref); err == nil {
		return record, nil
	}
	newest, _, err := s.store.Leaks(ctx, leak.Filter{Limit: maxPage})
	if err != nil {
		return nil, err
	}
	return pick("leak", ref, newest, func(r *leak.Record) (id, name string) { return r.ID, "" })
}

// leakClosing ends a leak; with restore it was none.
type leakClosing struct {
	Reason  string `json:"reason"`
	Restore bool   `json:"restore"`
}

func (s *Server) closeLeak(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	p, err := readJSON[leakClosing](r)
	if err != nil {
		return nil, err
	}
	if err := checkLine("reason", p.Reason, false); err != nil {
		return nil, err
	}
	actor, _ := actorOf(r.Context())
	record, err := s.findLeak(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	report, err := s.o.Road.CloseLeak(r.Context(), record.ID, p.Reason, actor, p.Restore)
	if errors.Is(err, leak.ErrClosed) {
		return nil, problem(http.StatusConflict, "closed", "", "%v", err)
	}
	return report, err
}

// fingerprints are candidates that a scan has found; the answer says which of
// them are apikeys or secrets of clients that are known here.
type fingerprints struct {
	Candidates []string `json:"candidates"`
}

// maxCandidates bounds one question of a scan.
const maxCandidates = 1000

// knownCredential is a candidate that is ours.
type knownCredential struct {
	Index  int          `json:"index"` // of the candidate
	Kind   string       `json:"kind"`
	ID     string       `json:"id"`
	Stage  apikey.Stage `json:"stage"`  // of an apikey
	Status string       `json:"status"` // of a client
	Owner  string       `json:"owner"`
}

// identify answers a scan that runs on the same machine, over the socket.
func (s *Server) identify(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	p, err := readJSON[fingerprints](r)
	if err != nil {
		return nil, err
	}
	if len(p.Candidates) > maxCandidates {
		return nil, badRequest("ask in several parts", "%d candidates, at most %d are looked at", len(p.Candidates), maxCandidates)
	}
	known := []knownCredential{}
	for i, candidate := range p.Candidates {
		subject, err := s.o.Road.FindLeaked(r.Context(), candidate)
		if errors.Is(err, migration.ErrNotOurs) {
			continue
		}
		if err != nil {
			return nil, err
		}
		k := knownCredential{Index: i, Kind: subject.Kind, ID: subject.ID}
		if subject.Kind == leak.KindAPIKey {
			key, err := s.store.APIKey(r.Context(), subject.ID)
			if err != nil {
				return nil, err
			}
			k.Stage, k.Owner = s.o.Ruleset().StageOf(key, s.now()), key.Owner
		} else if c, err := s.store.Client(r.Context(), subject.ID); err == nil {
			k.Status, k.Owner = string(c.Status), c.Owner
		} else if !errors.Is(err, client.ErrNotFound) {
			return nil, err
		}
		known = append(known, k)
	}
	return struct {
		Known []knownCredential `json:"known"`
	}{known}, nil
}

// maxEnds bounds for how many apikeys the ends are told.
const maxEnds = 200_000

// scanEnds tells a scan how the apikeys that are known end, so that it asks about
// few words.
func (s *Server) scanEnds(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	ends := map[string]bool{}
	n := 0
	for f := (apikey.Filter{Limit: maxPage}); n < maxEnds; {
		page, next, err := s.store.APIKeys(r.Context(), f)
		if err != nil {
			return nil, err
		}
		for _, k := range page {
			ends[k.Last4] = true
		}
		n += len(page)
		if f.After = next; next == "" {
			break
		}
	}
	return struct {
		Last4 []string `json:"last4"`
	}{slices.Sorted(maps.Keys(ends))}, nil
}
