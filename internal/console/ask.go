package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/token"
)

// visit is one request of somebody who is signed in.
type visit struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	session *session
	token   *token.Verified
}

// refused is an answer of the API that says no, or one of ours.
type refused struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`

	challenge string
}

func (e *refused) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Detail) }

// answerOf is what the API writes.
type answerOf struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (a *answerOf) Header() http.Header         { return a.header }
func (a *answerOf) WriteHeader(status int)      { a.status = status }
func (a *answerOf) Write(b []byte) (int, error) { return a.body.Write(b) }

// ask makes a request to the management API for the person, and reads the
// answer into into, nil for not at all.
func (v *visit) ask(method, path string, query url.Values, body, into any) error {
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(raw)
	}
	target := "/api/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(v.s.o.As(v.r.Context(), v.token), method, target, in)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	a := &answerOf{status: http.StatusOK, header: http.Header{}}
	v.s.o.API.ServeHTTP(a, r)
	if a.status >= http.StatusBadRequest {
		e := &refused{Status: a.status, challenge: a.header.Get("WWW-Authenticate")}
		if err := json.Unmarshal(a.body.Bytes(), e); err != nil {
			return fmt.Errorf("the API answers %d: %w", a.status, err)
		}
		return e
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(a.body.Bytes(), into)
}

// get asks for what a page shows.
func (v *visit) get(path string, into any, pairs ...string) error {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return v.ask(http.MethodGet, path, q, nil, into)
}

// signedInOnly lets people in who are signed in, and sends others to the issuer.
func (s *Server) signedInOnly(serve func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next := r.URL.RequestURI()
		if r.Method != http.MethodGet {
			next = "/"
		}
		v := &visit{s: s, w: w, r: r, session: s.sessions.find(s.cookie(r, cookieSession), s.o.Now())}
		if v.session != nil {
			v.token = s.current(r.Context(), v.session)
		}
		if v.token == nil {
			http.Redirect(w, r, "/signin?"+url.Values{"next": {next}}.Encode(), http.StatusSeeOther)
			return
		}
		err := serve(v)
		var no *refused
		switch {
		case err == nil:
		case errors.As(err, &no) && no.Code == "insufficient_user_authentication":
			http.Redirect(w, r, "/signin?"+url.Values{"next": {v.back()}, "max_age": {maxAgeOf(no.challenge)}}.Encode(), http.StatusSeeOther)
		case errors.As(err, &no) && no.Status == http.StatusUnauthorized:
			http.Redirect(w, r, "/signin?"+url.Values{"next": {next}}.Encode(), http.StatusSeeOther)
		default:
			s.showError(w, r, err)
		}
	})
}

// back is the page that a form was on.
func (v *visit) back() string { return ownPath(v.r.PostFormValue("back")) }

// maxAgeOf reads max_age from a challenge (RFC 9470 §3).
func maxAgeOf(challenge string) string {
	_, rest, _ := strings.Cut(challenge, `max_age="`)
	age, _, _ := strings.Cut(rest, `"`)
	if n, err := strconv.Atoi(age); err == nil && n >= 0 {
		return age
	}
	return "0"
}
