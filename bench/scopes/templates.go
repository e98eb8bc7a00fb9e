package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

var (
	version = regexp.MustCompile(`^v[0-9.]+$`)
	// what a simple script takes for an id
	simpleID = regexp.MustCompile(`^([0-9]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-fA-F]{8,}|[0-9][0-9-]*)$`)
)

// simpleTemplate is the baseline's template of a path.
func simpleTemplate(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if simpleID.MatchString(s) {
			segments[i] = "{id}"
		}
	}
	return strings.Join(segments, "/")
}

// templateScore is how many templates are right.
type templateScore struct{ exact, findable, real, proposed int }

func (s *templateScore) add(o templateScore) {
	s.exact += o.exact
	s.findable += o.findable
	s.real += o.real
	s.proposed += o.proposed
}

func (s templateScore) recall() float64    { return ratio(s.exact, s.findable) }
func (s templateScore) precision() float64 { return ratio(s.real, s.proposed) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// score compares proposed templates with those that were called.
func (w *world) score(called map[string]string, proposed map[string]bool) templateScore {
	var s templateScore
	for form, template := range called {
		if !w.showed(template, 3) {
			continue
		}
		s.findable++
		if proposed[form] {
			s.exact++
		}
	}
	s.proposed = len(proposed)
	for form := range proposed {
		if called[form] != "" {
			s.real++
		}
	}
	return s
}

// measureTemplates recovers templates from traffic alone.
func measureTemplates(out io.Writer, v vocabulary, seeds int, hard, verbose bool) {
	var base, product templateScore
	for seed := range uint64(seeds) {
		w := newWorld(v.operations, seed)
		w.hard = hard
		jobs := w.jobs(60)
		calls := w.spread(jobs, 40_000, time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC), 30*24*time.Hour)
		called := map[string]string{}
		for _, j := range jobs {
			for _, op := range j.ops {
				t := v.operations[op].template
				if w.called[t] {
					called[shape(t)] = t
				}
			}
		}
		simple := map[string]bool{}
		recovery := traffic.NewRecovery()
		for _, c := range calls {
			if c.Status >= 300 {
				continue
			}
			simple[shape(simpleTemplate(c.Path))] = true
			recovery.Add(c.Method, c.Path, c.Credential.ID, 1)
		}
		found := map[string]bool{}
		for _, op := range recovery.Operations() {
			found[shape(op.Template)] = true
		}
		base.add(w.score(called, simple))
		product.add(w.score(called, found))
		if verbose && seed == 0 {
			for f := range found {
				if called[f] == "" {
					fmt.Fprintln(out, "  not real", f)
				}
			}
			for f, t := range called {
				if !found[f] && w.showed(t, 3) {
					fmt.Fprintln(out, "  missed", t, w.kindsOf(t))
				}
			}
		}
	}
	kind := "templates"
	if hard {
		kind = "templates, half of the identifiers words"
	}
	line(out, kind+": exact", base.recall(), product.recall(), fmt.Sprintf("of %d that showed three values", base.findable))
	line(out, kind+": real", base.precision(), product.precision(), fmt.Sprintf("of %d and %d proposed", base.proposed, product.proposed))
}
