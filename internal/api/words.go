package api

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// Bounds of what operators say in words.
const (
	mostDescribed = 1000
	mostLanguages = 20
	longestWords  = 200 // characters
)

// scopeWords says in words what a scope opens, for people who are asked to let a
// client have it.
type scopeWords struct {
	Name        string `json:"name"`
	Language    string `json:"language"` // "" for all languages that have none of their own
	Description string `json:"description"`
	DryRun      bool   `json:"dry_run,omitempty"`
}

func (s *Server) listScopeWords(r *http.Request) (any, error) {
	q, err := readQuery(r, "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	set, err := s.store.Settings(r.Context())
	if err != nil {
		return nil, err
	}
	var all []scopeWords
	for _, name := range slices.Sorted(maps.Keys(set.Words.Scopes)) {
		for _, language := range slices.Sorted(maps.Keys(set.Words.Scopes[name])) {
			all = append(all, scopeWords{Name: name, Language: language, Description: set.Words.Scopes[name][language]})
		}
	}
	part, next, err := page(all, func(w scopeWords) string { return w.Name + " " + w.Language }, limit, q.text("after"))
	if err != nil {
		return nil, err
	}
	return struct {
		Scopes []scopeWords `json:"scopes"`
		Next   *string      `json:"next"`
	}{orNone(part), next}, nil
}

// describeScope sets what is said of a scope, or with an empty description takes
// it back.
func (s *Server) describeScope(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	w, err := readJSON[scopeWords](r)
	if err != nil {
		return nil, err
	}
	if one, err := oauth.ParseScope(w.Name); err != nil || len(one) != 1 {
		return nil, badRequest("give the name of one scope, as in read:orders", "%q is no name of a scope", w.Name)
	}
	if w.Language = strings.ToLower(w.Language); w.Language != "" && (len(w.Language) > 3 || len(w.Language) < 2 || strings.Trim(w.Language, "abcdefghijklmnopqrstuvwxyz") != "") {
		return nil, badRequest("write it as en or de; left out, the words are for all languages", "the language is %q", w.Language)
	}
	if w.Description, err = oneLineOfWords(w.Description); err != nil {
		return nil, err
	}
	if w.DryRun = dryRun; dryRun {
		return w, nil
	}
	_, err = s.store.UpdateSettings(r.Context(), func(set *policy.Settings) error { return describe(&set.Words, w) }, event(r, "scope.described", w.Name, w))
	return w, err
}

func describe(words *policy.Words, w scopeWords) error {
	all := maps.Clone(words.Scopes)
	of := maps.Clone(all[w.Name])
	if all == nil {
		all = map[string]map[string]string{}
	}
	if of == nil {
		of = map[string]string{}
	}
	of[w.Language] = w.Description
	if w.Description == "" {
		delete(of, w.Language)
	}
	all[w.Name] = of
	if len(of) == 0 {
		delete(all, w.Name)
	}
	if len(all) > mostDescribed || len(of) > mostLanguages {
		return badRequest("take some back first", "there are as many descriptions as there can be: %d scopes in %d languages", mostDescribed, mostLanguages)
	}
	words.Scopes = all
	return nil
}

// serviceName is what people sign in to, by its name.
type serviceName struct {
	Name   string `json:"name"` // "" in a change: the host of the issuer
	DryRun bool   `json:"dry_run,omitempty"`
}

func (s *Server) showServiceName(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	set, err := s.store.Settings(r.Context())
	return serviceName{Name: cmp.Or(set.Service, s.issuerHost())}, err
}

func (s *Server) setServiceName(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	n, err := readJSON[serviceName](r)
	if err != nil {
		return nil, err
	}
	if n.Name, err = oneLineOfWords(n.Name); err != nil {
		return nil, err
	}
	if !dryRun {
		if _, err := s.store.UpdateSettings(r.Context(), func(set *policy.Settings) error {
			set.Service = n.Name
			return nil
		}, event(r, "service.named", "service", n)); err != nil {
			return nil, err
		}
	}
	return serviceName{Name: cmp.Or(n.Name, s.issuerHost()), DryRun: dryRun}, nil
}

func (s *Server) issuerHost() string { return oauth.HostOf(s.o.Surroundings().Issuer) }

// oneLineOfWords is a text that people read, in one line that prints.
func oneLineOfWords(text string) (string, error) {
	text = strings.Join(strings.Fields(text), " ")
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > longestWords || strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return "", badRequest("one line, as in \"see your orders\"", "the text is longer than %d characters, or has some that do not print", longestWords)
	}
	return text, nil
}
