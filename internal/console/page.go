package console

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// page is one page: the question that it answers, and what it shows.
type page struct {
	template string
	title    string
	load     func(*visit) (any, error)
}

// table is a list as rows of text, for CSV: what every page with a list has
// beside its HTML.
type table interface {
	Rows() (head []string, rows [][]string)
}

// nav are the pages that every page leads to, in the order of the work.
var nav = []struct{ Path, Title string }{
	{"/", "Overview"}, {"/apikeys", "API keys"}, {"/callers", "Callers"}, {"/routes", "Routes"}, {"/plan", "Plan"}, {"/campaign", "Campaign"},
	{"/leaks", "Leaks"}, {"/evidence", "Evidence"}, {"/people", "People"}, {"/trust", "Trust"}, {"/health", "Health"}, {"/settings", "Settings"},
}

//go:embed pages
var pageFiles embed.FS

// pages are the templates by name, each within the layout.
type pages map[string]*template.Template

func loadPages() (pages, error) {
	names, err := pageFiles.ReadDir("pages")
	if err != nil {
		return nil, err
	}
	layout, err := template.New("layout.html").Funcs(functions).ParseFS(pageFiles, "pages/layout.html")
	if err != nil {
		return nil, err
	}
	all := pages{}
	for _, f := range names {
		name := strings.TrimSuffix(f.Name(), ".html")
		if name == "layout" {
			continue
		}
		one, err := layout.Clone()
		if err == nil {
			one, err = one.ParseFS(pageFiles, "pages/"+f.Name())
		}
		if err != nil {
			return nil, err
		}
		all[name] = one
	}
	return all, nil
}

// view is what the layout shows around the data of a page.
type view struct {
	Title   string
	Service string
	Person  string
	Path    string // of the page
	Back    string // the page with its query, for forms
	CSRF    string
	CSV     string // the same list as CSV, "" for none
	Now     time.Time
	Nav     []struct{ Path, Title string }
	V       *visit
	Done    string // what was done before
	Data    any
}

// page serves one.
func (s *Server) page(p page) http.Handler {
	return s.signedInOnly(func(v *visit) error {
		data, err := p.load(v)
		if err != nil {
			return err
		}
		list, isList := data.(table)
		q := v.r.URL.Query()
		if isList && q.Get("format") == "csv" {
			return v.writeCSV(p.template, list)
		}
		shown := v.view(p.title, data)
		if isList {
			q.Set("format", "csv")
			q.Del("done")
			shown.CSV = v.r.URL.Path + "?" + q.Encode()
		}
		return s.show(v.w, http.StatusOK, p.template, shown)
	})
}

func (v *visit) view(title string, data any) view {
	q := v.r.URL.Query()
	done := doneTexts[q.Get("done")]
	q.Del("done")
	back := v.r.URL.Path
	if len(q) > 0 {
		back += "?" + q.Encode()
	}
	return view{
		Title: title, Service: v.s.o.Name, Person: v.s.o.NameOf(v.r.Context(), v.token.Login().PersonID), Path: v.r.URL.Path, Back: back,
		CSRF: v.session.csrf, Now: v.s.o.Now().UTC(), Nav: nav, V: v, Data: data, Done: done,
	}
}

// show writes a page. Nothing is sent before all of it is made.
func (s *Server) show(w http.ResponseWriter, status int, name string, data any) error {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout.html", data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // whoever asked may have gone
	return nil
}

// showError is the one place where an error becomes a page.
func (s *Server) showError(w http.ResponseWriter, r *http.Request, err error) {
	var no *refused
	if !errors.As(err, &no) {
		s.o.Log.ErrorContext(r.Context(), "a console page failed", "path", r.URL.Path, "error", err)
		no = &refused{Status: http.StatusInternalServerError, Title: "Something went wrong here", Fix: "See the log of the server, then try again."}
	}
	shown := view{Title: no.Title, Service: s.o.Name, Now: s.o.Now().UTC(), Nav: nav, Data: no, Path: r.URL.Path}
	if err := s.show(w, no.Status, "problem", shown); err != nil {
		s.o.Log.ErrorContext(r.Context(), "the problem page cannot be shown", "error", err)
	}
}

// functions are what templates can say.
var functions = template.FuncMap{
	"num": func(n any) string {
		switch n := n.(type) {
		case int:
			return grouped(int64(n))
		case int64:
			return grouped(n)
		}
		return fmt.Sprint(n)
	},
	"day":    func(t any) string { return formatted(t, "2 Jan 2006") },
	"minute": func(t any) string { return formatted(t, "2 Jan 2006 15:04 MST") },
	"iso":    func(t any) string { return formatted(t, time.RFC3339) },
	"ago": func(now time.Time, t any) string {
		at := timeOf(t)
		if at.IsZero() {
			return "never"
		}
		return ago(now.Sub(at))
	},
	"percent": func(part, whole int64) string {
		if whole == 0 {
			return "–"
		}
		return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
	},
	"join":     strings.Join,
	"add":      func(a, b int64) int64 { return a + b },
	"isAPIKey": func(id string) bool { return strings.HasPrefix(id, "ak_") },
	"list":     func(all ...string) []string { return all },
	"more":     func(all []string, shown int) int { return len(all) - shown },
	"stages":   func() []string { return []string{"observe", "warn", "brownout", "upgrade_only", "retired", "blocked"} },
	"path":     url.PathEscape,
	"words":    func(s fmt.Stringer) string { return strings.ReplaceAll(s.String(), "_", " ") },
	"json":     func(raw json.RawMessage) string { return string(raw) },
	"query": func(pairs ...string) string {
		q := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i+1] != "" {
				q.Set(pairs[i], pairs[i+1])
			}
		}
		return q.Encode()
	},
}

// grouped writes a number with narrow spaces between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return sign + s
}

func timeOf(t any) time.Time {
	switch t := t.(type) {
	case time.Time:
		return t
	case *time.Time:
		if t != nil {
			return *t
		}
	}
	return time.Time{}
}

func formatted(t any, layout string) string {
	at := timeOf(t)
	if at.IsZero() {
		return "–"
	}
	return at.UTC().Format(layout)
}

// ago says how long ago something was.
func ago(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{365 * 24 * time.Hour, "y"}, {24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= unit.length {
			return strconv.FormatInt(int64(math.Floor(float64(d)/float64(unit.length))), 10) + " " + unit.name + " ago"
		}
	}
	if d < 0 {
		return "in the future"
	}
	return "just now"
}
