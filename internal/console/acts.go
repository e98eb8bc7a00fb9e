package console

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/secret"
)

// act is something that a form does: one request to the API. Where it stops
// somebody's calls it is asked as a dry run first, and shown.
type act struct {
	title string
	// request makes the request of a form.
	request func(form url.Values) (method, path string, body any)
	// confirm: what it would do is shown, and done only when that is confirmed.
	confirm bool
	dryRun  bool // the API can say what it would do
	done    string
}

// doneTexts are what a page says after an act.
var doneTexts = map[string]string{
	"stage": "The stage is set.", "mapped": "The API key is mapped.", "extended": "The API key works longer.", "revoked": "The API key is retired.", "blocked": "The API key is blocked.",
	"approved": "The caller is approved.", "disabled": "It is disabled.", "enabled": "It is enabled.", "tokens": "Its tokens are revoked.", "enforce": "Enforcement is set.",
	"route": "The route is set.", "rotated": "A new signing key is made.", "invited": "The invitation is made.", "reloaded": "The configuration is read again.", "reset": "Their second factors are gone.",
	"paused": "The campaign stands still.", "resumed": "The campaign goes on.", "cancelled": "It is cancelled.", "brownout": "The brownout is set.", "told": "The messages are in the outbox.",
}

func at(prefix string, form url.Values, suffix string) string {
	return prefix + url.PathEscape(form.Get("id")) + suffix
}

var acts = map[string]act{
	"stage": {"Set the stage", func(f url.Values) (string, string, any) {
		body := map[string]any{"stage": f.Get("stage"), "reason": f.Get("reason")}
		switch {
		case f.Get("id") != "":
			body["apikeys"] = f["id"]
		case f.Get("cohort") != "":
			body["cohort"] = f.Get("cohort")
		default:
			body["all"] = true
		}
		if at := f.Get("at"); at != "" {
			body["at"] = at
		}
		return http.MethodPost, "/stage", body
	}, true, true, "stage"},
	"pause": {"Pause the campaign", func(f url.Values) (string, string, any) {
		return http.MethodPost, "/calendar/pause", map[string]any{"reason": f.Get("reason"), "back": f.Get("back")}
	}, true, true, "paused"},
	"resume":      {"Let the campaign go on", func(url.Values) (string, string, any) { return http.MethodPost, "/calendar/resume", map[string]any{} }, true, true, "resumed"},
	"cancel-step": {"Cancel a step", func(f url.Values) (string, string, any) { return http.MethodDelete, at("/calendar/steps/", f, ""), nil }, true, true, "cancelled"},
	"brownout": {"Set a brownout", func(f url.Values) (string, string, any) {
		return http.MethodPost, "/brownouts", map[string]any{"cohort": f.Get("cohort"), "at": f.Get("at"), "for": f.Get("for"), "reason": f.Get("reason")}
	}, true, true, "brownout"},
	"cancel-brownout": {"Cancel a brownout", func(f url.Values) (string, string, any) {
		return http.MethodPost, "/brownouts/cancel", map[string]any{"id": f.Get("id")}
	}, true, true, "cancelled"},
	"notify": {"Tell the owners", func(f url.Values) (string, string, any) {
		return http.MethodPost, "/notify", map[string]any{"cohort": f.Get("cohort")}
	}, true, true, "told"},
	"map": {"Map to a client", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/apikeys/", f, "/map"), map[string]any{"client": f.Get("client")}
	}, false, false, "mapped"},
	"extend": {"Let it work longer", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/apikeys/", f, "/extend"), map[string]any{"until": f.Get("until"), "reason": f.Get("reason")}
	}, false, false, "extended"},
	"revoke": {"Retire the API key", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/apikeys/", f, "/revoke"), map[string]any{"reason": f.Get("reason")}
	}, true, true, "revoked"},
	"block": {"Block the API key", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/apikeys/", f, "/block"), map[string]any{"reason": f.Get("reason"), "since": f.Get("since")}
	}, true, true, "blocked"},
	"approve": {"Approve the caller", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/clients/", f, "/approve"), map[string]any{}
	}, true, false, "approved"},
	"client-disable": {"Disable the caller", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/clients/", f, "/disable"), nil
	}, true, false, "disabled"},
	"client-enable": {"Enable the caller", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/clients/", f, "/enable"), nil
	}, false, false, "enabled"},
	"client-revoke": {"Revoke all its tokens", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/clients/", f, "/revoke"), nil
	}, true, false, "tokens"},
	"enforce": {"Set enforcement", func(f url.Values) (string, string, any) {
		body := map[string]any{"enforce": f.Get("enforce")}
		if route := f.Get("route"); route != "" {
			body["route"] = route
		}
		return http.MethodPost, "/routes/enforce", body
	}, true, true, "enforce"},
	"route": {"Set the route", func(f url.Values) (string, string, any) {
		return http.MethodPut, "/routes", map[string]any{"match": f.Get("match"), "scopes": strings.Fields(f.Get("scopes"))}
	}, true, true, "route"},
	"rotate": {"Make a new signing key", func(url.Values) (string, string, any) { return http.MethodPost, "/signing/rotate", nil }, true, false, "rotated"},
	"invite": {"Invite somebody", func(f url.Values) (string, string, any) {
		return http.MethodPost, "/people/invite", map[string]any{"name": f.Get("name"), "email": f.Get("email"), "groups": strings.Fields(f.Get("groups"))}
	}, false, false, "invited"},
	"person-disable": {"Shut the account", func(f url.Values) (string, string, any) {
		return http.MethodPost, at("/people/", f, "/disable"), nil
	}, true, false, "disabled"},
	"person-enable": {"Open the account", func(f url.Values) (string, string, any) { return http.MethodPost, at("/people/", f, "/enable"), nil }, false, false, "enabled"},
	"reset-mfa":     {"Take their second factors away", func(f url.Values) (string, string, any) { return http.MethodPost, at("/people/", f, "/reset-mfa"), nil }, true, false, "reset"},
	"reload":        {"Read the configuration again", func(url.Values) (string, string, any) { return http.MethodPost, "/config/reload", nil }, true, true, "reloaded"},
}

// confirmation is the page between a form and what it does.
type confirmation struct {
	Act    string
	Fields []field         // sent again
	Facts  []field         // what would happen
	Plan   *migration.Plan // whose calls that stops, where stages are set
}

type field struct{ Name, Value string }

// do does what a form says, after what it would stop was shown.
func (s *Server) do(v *visit) error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, 64<<10)
	if err := v.r.ParseForm(); err != nil {
		return &refused{Status: http.StatusBadRequest, Title: "What was sent is no form of these pages"}
	}
	form := v.r.PostForm
	a, known := acts[v.r.PathValue("act")]
	switch {
	case !secret.Same(form.Get("csrf"), v.session.csrf):
		return &refused{Status: http.StatusForbidden, Title: "This form is too old", Fix: "Go back, load the page again, and send it once more. Nothing has happened."}
	case !known:
		return &refused{Status: http.StatusNotFound, Title: "Nothing is here"}
	}
	method, path, body := a.request(form)
	if a.confirm && form.Get("confirm") == "" {
		return s.askFirst(v, a, method, path, body)
	}
	if err := v.ask(method, path, nil, body, nil); err != nil {
		return err
	}
	back, _ := url.Parse(v.back()) // ownPath has parsed it
	q := back.Query()
	q.Set("done", a.done)
	back.RawQuery = q.Encode()
	http.Redirect(v.w, v.r, back.String(), http.StatusSeeOther)
	return nil
}

// askFirst shows what an act would do.
func (s *Server) askFirst(v *visit, a act, method, path string, body any) error {
	data := confirmation{Act: v.r.PathValue("act")}
	for name, values := range v.r.PostForm {
		for _, value := range values {
			if name != "csrf" {
				data.Fields = append(data.Fields, field{name, value})
			}
		}
	}
	if a.dryRun {
		var would map[string]any
		if err := v.ask(method, path, url.Values{"dry_run": {"true"}}, body, &would); err != nil {
			return err
		}
		data.Facts = factsOf(would)
	} else {
		for _, f := range data.Fields {
			if f.Name != "back" && f.Value != "" {
				data.Facts = append(data.Facts, f)
			}
		}
	}
	if err := v.foresee(&data); err != nil {
		return err
	}
	shown := v.view(a.title, data)
	shown.Back = v.back()
	return s.show(v.w, http.StatusOK, "confirm", shown)
}

// foresee asks the recorded calls what a stage would stop, for who may ask that.
func (v *visit) foresee(c *confirmation) error {
	form := v.r.PostForm
	if c.Act != "stage" || !v.May("read:offkey.plan") || form.Get("stage") == "inherit" {
		return nil
	}
	body := map[string]any{"stage": form.Get("stage")}
	if id := form.Get("id"); id != "" {
		body["apikeys"] = []string{id}
	} else if cohort := form.Get("cohort"); cohort != "" {
		body["cohort"] = cohort
	}
	c.Plan = &migration.Plan{}
	return v.ask(http.MethodPost, "/plan", nil, body, c.Plan)
}

// factsOf are the members of an answer that people can read, in their order.
func factsOf(would map[string]any) (facts []field) {
	for _, name := range slices.Sorted(maps.Keys(would)) {
		if name == "dry_run" {
			continue
		}
		switch value := would[name].(type) {
		case nil:
		case string:
			if value != "" {
				facts = append(facts, field{name, value})
			}
		default:
			raw, err := json.Marshal(value)
			if err == nil && string(raw) != "[]" && string(raw) != "{}" {
				facts = append(facts, field{name, string(raw)})
			}
		}
	}
	return facts
}
