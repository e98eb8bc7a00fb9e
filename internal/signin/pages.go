package signin

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

//go:embed pages
var pageFiles embed.FS

// pages are the templates by name, each within the layout.
type pages map[string]*template.Template

func loadPages() (pages, error) {
	names, err := pageFiles.ReadDir("pages")
	if err != nil {
		return nil, err
	}
	layout, err := template.ParseFS(pageFiles, "pages/layout.html")
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

// view is what every template has; each page adds its own.
type view struct {
	t       *catalogue
	s       *Service
	Title   string // key of the message
	CSRF    string
	Request string   // id of the request that the page is about
	Problem *problem // of what was sent before
	Script  bool     // the page has something for passkeys
	Wide    bool
}

// problem is what was wrong with a form: a message, and the field that it is
// about, which is described by it and gets the focus.
type problem struct {
	Field string
	Key   string
	Args  []any
	Text  string // instead of a message
}

// T is a message in the language of the page.
func (v view) T(key string, args ...any) string { return v.t.text(key, args...) }

// Lang is the language of the page.
func (v view) Lang() string { return v.t.language }

// Service is who people sign in to.
func (v view) Service() string { return v.s.name() }

// Path is where one of our pages is.
func (v view) Path(page string) string { return v.s.path(page) }

// Wrong says what is wrong with a field, "" if nothing.
func (v view) Wrong(field string) string {
	switch {
	case v.Problem == nil || v.Problem.Field != field:
		return ""
	case v.Problem.Text != "":
		return v.Problem.Text
	}
	return v.t.text(v.Problem.Key, v.Problem.Args...)
}

// General is what is wrong with none of the fields.
func (v view) General() string { return v.Wrong("") }

// view makes what every template has, for a form about a request.
func (v visit) view(title string, q session.Request) view {
	return view{t: v.t, s: v.s, Title: title, CSRF: v.token(q.ID, anybody), Request: q.ID}
}

// show writes a page. Nothing is sent before all of it is made.
func (s *Service) show(w http.ResponseWriter, status int, name string, data any) error {
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout.html", data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}

// showProblem writes the one page for what cannot go on.
func (s *Service) showProblem(w http.ResponseWriter, r *http.Request, status int, key string) {
	data := struct {
		view
		Text string
	}{view{t: pickLanguage(r), s: s, Title: "problem.title"}, key}
	if err := s.show(w, status, "problem", data); err != nil {
		s.options.Log.ErrorContext(r.Context(), "the problem page cannot be shown", "error", err)
	}
}

// basePolicy is the Content-Security-Policy of pages that lead nowhere else.
const basePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// allowBack lets the forms of this page lead to the client. Chromium applies
// form-action to every redirect that follows a form, those of the client's own
// included, so the scheme is let through and not one host (decision 0028).
func (v visit) allowBack(q session.Request, logo string) {
	if q.Kind != session.ForClient && q.Kind != session.ForLogout {
		return
	}
	forms := "form-action 'self' " + formTargets(q.Ask)
	policy := strings.Replace(basePolicy, "form-action 'self'", strings.TrimSpace(forms), 1)
	if origin := httpsOrigin(logo); origin != "" {
		policy = strings.Replace(policy, "img-src 'self'", "img-src 'self' "+origin, 1)
	}
	v.w.Header().Set("Content-Security-Policy", policy)
}

// formTargets are where the answer of a request may lead.
func formTargets(a session.Ask) string {
	scheme := a.RedirectScheme
	if own, ok := strings.CutSuffix(a.RedirectHost, ":"); ok { // a private-use scheme without a host (RFC 8252 §7.1)
		scheme = own
	}
	switch {
	case scheme == "http" || leadsHere(a.RedirectHost):
		return "https: http:" // a program on this machine
	case isScheme(scheme):
		return "https: " + scheme + ":"
	}
	return "https:"
}

// leadsHere reports whether a host with its port is of this machine.
func leadsHere(hostport string) bool {
	u, err := url.Parse("//" + hostport)
	if err != nil {
		return false
	}
	return oauth.IsLoopback(u.Hostname())
}

// isScheme reports whether s is a scheme (RFC 3986 §3.1) that a native client
// may have for itself, and not one that runs what it is given.
func isScheme(s string) bool {
	switch s {
	case "", "https", "javascript", "data", "blob", "filesystem", "vbscript":
		return false
	}
	for i, c := range s {
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return true
}

// httpsOrigin is the origin of an https URL as a policy names it; "" of any
// other, which is not shown.
func httpsOrigin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || strings.Trim(u.Host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") != "" {
		return ""
	}
	return "https://" + u.Host
}

// httpsLink is the URL if it is one that a page may link to, else "".
func httpsLink(raw string) string {
	if httpsOrigin(raw) == "" {
		return ""
	}
	return raw
}
