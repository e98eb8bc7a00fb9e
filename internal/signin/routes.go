package signin

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

// The paths of the pages, below the issuer's own.
const (
	pathSignIn  = "/signin"
	pathPasskey = "/signin/passkey"
	pathSecond  = "/signin/second"
	pathEnrol   = "/signin/enrol"
	pathChoose  = "/signin/choose"
	pathRefused = "/signin/refused"
	pathElse    = "/signin/elsewhere"
	pathConsent = "/consent"
	pathForgot  = "/forgot"
	pathLogout  = "/signout"
	pathDevice  = "/device"
	pathAccount = "/account"
	pathUpgrade = "/upgrade"
	pathStatic  = "/static/"
)

// paramRequest names a request in URLs and forms.
const paramRequest = "r"

// maxForm bounds a form, in bytes. What a passkey sends is the longest.
const maxForm = 64 << 10

// Handler serves the pages.
func (s *Service) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := s.routes[r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
		secured(w)
		s.showProblem(w, r, http.StatusNotFound, "problem.notfound")
	})
}

// visit is one request to a page.
type visit struct {
	s *Service
	w http.ResponseWriter
	r *http.Request
	t *catalogue
}

// action answers a visit. An error that it returns has not been answered.
type action func(visit) error

func (s *Service) makeRoutes() (map[string]http.Handler, error) {
	csrf := http.NewCrossOriginProtection()
	if err := csrf.AddTrustedOrigin(s.issuer.Scheme + "://" + s.issuer.Host); err != nil {
		return nil, err
	}
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secured(w)
		s.showProblem(w, r, http.StatusForbidden, "problem.foreign")
	}))
	routes := map[string]http.Handler{}
	page := func(path string, get, post action) {
		routes[s.path(path)] = withoutNullOrigin(csrf.Handler(s.page(get, post)))
	}
	page(pathSignIn, showSignIn, postSignIn)
	page(pathPasskey, nil, with(visit.posted, postPasskey))
	page(pathSecond, when(needSecond, visit.request, showSecond), when(needSecond, visit.posted, postSecond))
	page(pathEnrol, when(needEnrol, visit.request, showEnrol), when(needEnrol, visit.posted, postEnrol))
	page(pathChoose, when(needChoice, visit.request, showChoose), with(visit.postedByPerson, postChoose))
	page(pathRefused, when(needRefusal, visit.request, showRefused), postRefused)
	page(pathConsent, when(needConsent, visit.request, showConsent), when(needConsent, visit.postedByPerson, postConsent))
	page(pathLogout, showLogout, postLogout)
	if len(s.options.Upstreams) > 0 {
		page(pathElse, nil, postElsewhere)
	}
	if s.options.Upgrade != nil {
		page(pathUpgrade, showUpgrade, nil)
	}
	if s.options.Devices != nil {
		page(pathDevice, showDevice, postDevice)
	}
	if s.options.Mail != nil {
		page(pathForgot, showForgot, postForgot)
	}
	for path, a := range accountPages {
		page(pathAccount+path, a.show, a.post)
	}
	for path, l := range linkPages {
		page(path, l.show, l.post)
	}
	return routes, addStatic(routes, s.path(pathStatic))
}

// page reads what comes, and says to the person what an action could not.
func (s *Service) page(get, post action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secured(w)
		v := visit{s: s, w: w, r: r, t: pickLanguage(r)}
		var a action
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			a = get
		case http.MethodPost:
			if a = post; a != nil && !readForm(w, r) {
				s.showProblem(w, r, http.StatusBadRequest, "problem.form")
				return
			}
		}
		if a == nil {
			w.Header().Set("Allow", allowed(get, post))
			s.showProblem(w, r, http.StatusMethodNotAllowed, "problem.method")
			return
		}
		if err := a(v); err != nil {
			s.fail(w, r, err)
		}
	})
}

// withoutNullOrigin lets browsers in that have no Sec-Fetch-Site: to a page with
// no-referrer they send the Origin null with their own forms too (Fetch §3.2).
// Such a form is judged by its token alone, like one of a program.
func withoutNullOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") == "null" && r.Header.Get("Sec-Fetch-Site") == "" {
			r.Header.Del("Origin")
		}
		next.ServeHTTP(w, r)
	})
}

func allowed(get, post action) string {
	switch {
	case post == nil:
		return "GET, HEAD"
	case get == nil:
		return "POST"
	}
	return "GET, HEAD, POST"
}

// readForm takes a form of one kind, of bounded length, from the body alone.
func readForm(w http.ResponseWriter, r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	return r.ParseForm() == nil
}

// secured sets what every answer of a page has: nobody keeps it, frames it, or
// learns where it came from (RFC 9700 §4.16).
func secured(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), publickey-credentials-get=(self), publickey-credentials-create=(self)")
	h.Set("Content-Security-Policy", basePolicy)
}

// What an action can fail with that the person is told about.
var (
	errForm      = errors.New("the form is of another page, or too old")
	errChallenge = errors.New("the challenge of a passkey is of another page, or was used")
)

// fail is the one place where an error becomes a page.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, session.ErrGone), errors.Is(err, session.ErrNoSession), errors.Is(err, errForm):
		s.showProblem(w, r, http.StatusBadRequest, "problem.gone")
	case errors.Is(err, directory.ErrSpent):
		s.showProblem(w, r, http.StatusBadRequest, "problem.link")
	case errors.Is(err, directory.ErrDisabled), errors.Is(err, directory.ErrForbidden):
		s.showProblem(w, r, http.StatusForbidden, "problem.shut")
	case errors.Is(err, errTooMany):
		w.Header().Set("Retry-After", "5")
		s.showProblem(w, r, http.StatusTooManyRequests, "problem.busy")
	case errors.Is(err, directory.ErrBusy):
		w.Header().Set("Retry-After", "5")
		s.showProblem(w, r, http.StatusServiceUnavailable, "problem.busy")
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
	default:
		s.options.Log.ErrorContext(r.Context(), "a sign-in page failed", "path", r.URL.Path, "error", err)
		s.showProblem(w, r, http.StatusInternalServerError, "problem.ours")
	}
}

// request returns what the visit is about, while it waits for an answer.
func (v visit) request() (session.Request, error) {
	id := v.r.URL.Query().Get(paramRequest)
	if v.r.Method == http.MethodPost {
		id = v.r.PostForm.Get(paramRequest)
	}
	q, err := v.s.options.Store.Request(v.r.Context(), v.s.waiting(v.r, id), v.s.now())
	if err == nil && q.Answer != nil {
		err = session.ErrGone
	}
	if err == nil {
		v.prefer(q.Demand.Locales)
	}
	return q, err
}

// posted returns what a form is about, if it is one of ours for it.
func (v visit) posted() (session.Request, error) {
	q, err := v.request()
	if err != nil {
		return q, err
	}
	return q, v.checkToken(q.ID, anybody)
}

// postedByPerson returns what a form is about that was made for who is signed in
// now.
func (v visit) postedByPerson() (session.Request, error) {
	q, err := v.request()
	if err != nil {
		return q, err
	}
	return q, v.checkToken(q.ID, thePerson)
}

// step is a visit about a request that waits, with what judge decides from.
type step struct {
	visit
	q session.Request
	f facts
}

// with makes an action of one that needs to know what waits.
func with(read func(visit) (session.Request, error), a func(step) error) action {
	return func(v visit) error {
		q, err := read(v)
		if err != nil {
			return err
		}
		f, err := v.s.facts(v.r, q)
		if err != nil {
			return err
		}
		return a(step{v, q, f})
	}
}

// when is with, while the request needs n; otherwise the browser goes on to what
// it does need.
func when(n need, read func(visit) (session.Request, error), a func(step) error) action {
	return with(read, func(v step) error {
		if judge(v.q, v.f) != n {
			return v.s.proceed(v.w, v.r, v.q)
		}
		return a(v)
	})
}

// Who a form is made for, beside its browser.
const (
	anybody   = false // whoever is signing in
	thePerson = true  // who is signed in: for nobody who signs in after them
)

// token is what a form must bring back.
func (v visit) token(about string, person bool) string {
	browser := readCookie(v.r, v.s.cookies.browser)
	if browser.IsZero() {
		return ""
	}
	mark := ""
	if person {
		mark = readCookie(v.r, v.s.cookies.session).String()
	}
	return v.s.formToken(browser, about, mark)
}

// checkToken refuses a form that was not made for this browser, and what it is
// about.
func (v visit) checkToken(about string, person bool) error {
	want := v.token(about, person)
	if want == "" || !secret.Same(v.r.PostForm.Get("csrf"), want) {
		return errForm
	}
	return nil
}

// tooSoon says how long to wait.
func (v visit) tooSoon(wait time.Duration) {
	v.w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
}

//go:embed static
var staticFiles embed.FS

// addStatic serves style and script: public, the same for everybody, with a mark
// of their content, so that browsers ask again and are told that nothing
// changed.
func addStatic(routes map[string]http.Handler, prefix string) error {
	return fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		kind, tag := mime.TypeByExtension(path.Ext(name)), `"`+secret.HashOf(string(body)).String()[:16]+`"`
		if path.Ext(name) == ".js" {
			kind = "text/javascript; charset=utf-8"
		}
		routes[prefix+path.Base(name)] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Type", kind)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			h.Set("Cache-Control", "public, max-age=300")
			h.Set("ETag", tag)
			switch {
			case r.Method != http.MethodGet && r.Method != http.MethodHead:
				h.Set("Allow", "GET, HEAD")
				w.WriteHeader(http.StatusMethodNotAllowed)
			case r.Header.Get("If-None-Match") == tag:
				w.WriteHeader(http.StatusNotModified)
			default:
				_, _ = w.Write(body)
			}
		})
		return nil
	})
}
