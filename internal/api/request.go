package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds a JSON request, in bytes.
const maxBody = 1 << 20

// readJSON reads the one JSON object of a request. Members that T does not have
// are refused, so that a misspelt one is not taken for left out. No body at all
// is the zero T.
func readJSON[T any](r *http.Request) (T, error) {
	var body T
	if ct := r.Header.Get("Content-Type"); ct != "" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return body, problem(http.StatusUnsupportedMediaType, "invalid_request", "send it as application/json", "the request is %q", ct)
		}
	}
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(&body)
	if errors.Is(err, io.EOF) {
		return body, nil
	}
	if err != nil {
		return body, bodyProblem[T](err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return body, badRequest("send one JSON object", "something follows the JSON object of the request")
	}
	return body, nil
}

func bodyProblem[T any](err error) error {
	var tooLong *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	unknown, isUnknown := strings.CutPrefix(err.Error(), "json: unknown field ")
	switch {
	case errors.As(err, &tooLong):
		return err
	case isUnknown:
		return badRequest("the members are "+strings.Join(members(reflect.TypeFor[T]()), ", "), "the request has the member %s, which is not known here", unknown)
	case errors.As(err, &wrongType):
		return badRequest("", "the member %q of the request must not be a JSON %s", wrongType.Field, wrongType.Value)
	}
	return badRequest("", "the request is not valid: %v", err)
}

func members(t reflect.Type) []string {
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// query holds the parameters of a request; each is known and given once.
type query struct{ values url.Values }

// readQuery refuses parameters beyond those allowed.
func readQuery(r *http.Request, allowed ...string) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, badRequest("", "the query is not valid: %v", err)
	}
	for name, given := range values {
		if !slices.Contains(allowed, name) {
			fix := "leave it out"
			if len(allowed) > 0 {
				fix = "the parameters are " + strings.Join(allowed, ", ")
			}
			return query{}, badRequest(fix, "the query has the parameter %q, which is not known here", name)
		}
		if len(given) > 1 {
			return query{}, badRequest("", "the parameter %q is given %d times", name, len(given))
		}
	}
	return query{values}, nil
}

func (q query) text(name string) string { return q.values.Get(name) }

// flag reads true or false; left out is false, and so is nothing else.
func (q query) flag(name string) (bool, error) {
	switch v := q.values.Get(name); v {
	case "true", "1":
		return true, nil
	case "", "false", "0":
		return false, nil
	default:
		return false, badRequest("", "the parameter %q is %q: it is true or false", name, v)
	}
}

func (q query) number(name string, otherwise, most int) (int, error) {
	v := q.values.Get(name)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return 0, badRequest("", "the parameter %q is %q: it is a number from 1 to %d", name, v, most)
	}
	return n, nil
}

// bytes reads a number of bytes, 0 where the parameter is left out.
func (q query) bytes(name string) (int64, error) {
	v := q.values.Get(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		return 0, badRequest("", "the parameter %q is %q: it is a number of bytes", name, v)
	}
	return n, nil
}

// since reads a length of time or a moment; the answer is a moment, zero where
// the parameter is left out.
func (q query) since(name string, now time.Time) (time.Time, error) {
	v := q.values.Get(name)
	if v == "" {
		return time.Time{}, nil
	}
	if d, err := parseLength(v); err == nil {
		return now.Add(-d), nil
	}
	t, err := parseMoment(v)
	if err != nil {
		return time.Time{}, badRequest("", "the parameter %q is %q: write 12h, 30d, 2027-09-30 or 2027-09-30T14:00:00Z", name, v)
	}
	return t, nil
}

// parseLength reads 90m, 12h or 30d.
func parseLength(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is no length of time: write 12h or 30d", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no length of time: write 12h or 30d", s)
	}
	return d, nil
}

// parseMoment reads 2027-09-30 or a full RFC 3339 time.
func parseMoment(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date: write 2027-09-30 or 2027-09-30T14:00:00Z", s)
}

// The sizes of a page of a list.
const (
	defaultPage = 100
	maxPage     = 1000
)

// page cuts one page out of a sorted list, after the item that cursor names.
// next is nil after the last page.
func page[T any](items []T, idOf func(T) string, limit int, cursor string) (part []T, next *string, err error) {
	from := 0
	if cursor != "" {
		at := slices.IndexFunc(items, func(v T) bool { return idOf(v) == cursor })
		if at < 0 {
			return nil, nil, badRequest("start again without it", "the cursor %q names nothing in this list any more", cursor)
		}
		from = at + 1
	}
	items = items[from:]
	if len(items) > limit {
		last := idOf(items[limit-1])
		return items[:limit], &last, nil
	}
	return items, nil, nil
}
