package console

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
)

// clientList is a page of `GET /clients`.
type clientList struct {
	Clients []*client.Client `json:"clients"`
	Next    *string          `json:"next"`
	Filter  url.Values       `json:"-"`
}

// NextPage is the query of the page that follows, "" after the last.
func (l clientList) NextPage() string { return nextPage(l.Filter, l.Next) }

// Rows implements table.
func (l clientList) Rows() (head []string, rows [][]string) {
	head = []string{"client_id", "name", "owner", "status", "auth", "scopes", "pending_scopes", "source", "created", "last_used"}
	for _, c := range l.Clients {
		rows = append(rows, []string{c.ID, c.Name, c.Owner, string(c.Status), c.AuthMethod, c.Scopes.String(), c.PendingScopes.String(), c.Source, csvTime(&c.Created), csvTime(&c.LastUsed)})
	}
	return head, rows
}

// Who has moved, how do they sign in, with which scopes?
var callers = page{"callers", "Callers", func(v *visit) (any, error) {
	q := v.r.URL.Query()
	list := clientList{Filter: url.Values{}}
	pairs := []string{"limit", "100", "sort", cmp.Or(q.Get("sort"), "last_used")}
	for _, name := range []string{"owner", "status", "sort"} {
		if value := q.Get(name); value != "" {
			list.Filter.Set(name, value)
			if name != "sort" {
				pairs = append(pairs, name, value)
			}
		}
	}
	err := v.get("/clients", &list, append(pairs, "after", q.Get("after"))...)
	return list, err
}}

// Is this caller safe and minimal?
var oneCaller = page{"caller", "Caller", func(v *visit) (any, error) {
	var c client.Client
	return &c, v.get("/clients/"+url.PathEscape(v.r.PathValue("id")), &c)
}}

// route is one of `GET /routes`.
type route struct {
	Match   string   `json:"match"`
	Scopes  []string `json:"scopes"`
	Auth    string   `json:"auth"`
	Enforce string   `json:"enforce"`
	Source  string   `json:"source"`
	Calls   int64    `json:"calls"`
	DPoP    string   `json:"dpop"`
}

// trial is what a call would be answered with.
type trial struct {
	Decision string   `json:"decision"`
	Code     string   `json:"code"`
	Status   int      `json:"status"`
	Rule     *string  `json:"rule"`
	Scopes   []string `json:"scopes"`
	Path     string   `json:"path"`
	Shadow   string   `json:"shadow"`
	Problem  string   `json:"problem"`
}

// What does each route ask for, and is that right?
var routes = page{"routes", "Routes and scopes", func(v *visit) (any, error) {
	q := v.r.URL.Query()
	data := struct {
		Routes               []route
		Method, Path, Client string
		Methods              []string
		Trial                *trial
	}{Method: cmp.Or(q.Get("method"), http.MethodGet), Path: q.Get("path"), Client: q.Get("client"), Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}}
	var list struct {
		Routes []route `json:"routes"`
	}
	if err := v.get("/routes", &list, "limit", "1000"); err != nil {
		return nil, err
	}
	data.Routes = list.Routes
	if data.Path == "" {
		return data, nil
	}
	body := map[string]string{"method": data.Method, "path": data.Path}
	if data.Client != "" {
		body["client"] = data.Client
	}
	data.Trial = &trial{}
	return data, v.ask(http.MethodPost, "/routes/test", nil, body, data.Trial)
}}

// entryList is a page of the audit.
type entryList struct {
	Entries []audit.Entry `json:"entries"`
	Next    *string       `json:"next"`
	Filter  url.Values    `json:"-"`
	Chain   *chain        `json:"-"`
}

type chain struct {
	Entries int64  `json:"entries"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem"`
	Head    struct {
		Seq  int64  `json:"seq"`
		Hash string `json:"hash"`
	} `json:"head"`
}

// NextPage is the query of the page that follows, "" after the last.
func (l entryList) NextPage() string { return nextPage(l.Filter, l.Next) }

// Rows implements table.
func (l entryList) Rows() (head []string, rows [][]string) {
	head = []string{"seq", "at", "actor", "action", "object", "detail"}
	for _, e := range l.Entries {
		rows = append(rows, []string{strconv.FormatInt(e.Seq, 10), csvTime(&e.At), e.Actor, e.Action, e.Object, string(e.Detail)})
	}
	return head, rows
}

// Can I prove it?
var evidence = page{"evidence", "Evidence", func(v *visit) (any, error) {
	q := v.r.URL.Query()
	list := entryList{Filter: url.Values{}}
	pairs := []string{"order", "desc", "limit", "100"}
	for _, name := range []string{"actor", "object", "since"} {
		if value := strings.TrimSpace(q.Get(name)); value != "" {
			list.Filter.Set(name, value)
			pairs = append(pairs, name, value)
		}
	}
	if err := v.get("/audit", &list, append(pairs, "after", q.Get("after"))...); err != nil {
		return nil, err
	}
	if q.Get("verify") != "" {
		list.Chain = &chain{}
		return list, v.get("/audit/verify", list.Chain)
	}
	return list, nil
}}

// Who may sign in, how strongly, for how long?
var people = page{"people", "People", func(v *visit) (any, error) {
	var data struct {
		People []*directory.Person `json:"people"`
		Next   *string             `json:"next"`
		Groups []struct {
			directory.Group
			Members int `json:"members"`
		} `json:"-"`
	}
	if err := v.get("/people", &data, "limit", "200", "after", v.r.URL.Query().Get("after")); err != nil {
		return nil, err
	}
	var groups struct {
		Groups json.RawMessage `json:"groups"`
	}
	if err := v.get("/groups", &groups); err != nil {
		return nil, err
	}
	return data, json.Unmarshal(groups.Groups, &data.Groups)
}}

// Are my keys and federations healthy?
var trust = page{"trust", "Trust and signing", func(v *visit) (any, error) {
	var data struct {
		Keys []struct {
			KID      string    `json:"kid"`
			Alg      string    `json:"alg"`
			State    string    `json:"state"`
			Created  time.Time `json:"created"`
			SignFrom time.Time `json:"sign_from"`
		} `json:"keys"`
		Trust []struct {
			ID       string   `json:"id"`
			Name     string   `json:"name"`
			For      string   `json:"for"`
			ClientID string   `json:"client_id"`
			Issuer   string   `json:"issuer"`
			Subject  string   `json:"subject"`
			Disabled bool     `json:"disabled"`
			Source   string   `json:"source"`
			Audience []string `json:"audience"`
		} `json:"trust"`
	}
	if err := v.get("/signing", &data); err != nil {
		return nil, err
	}
	if !v.May("read:offkey.trust") {
		return data, nil
	}
	return data, v.get("/trust", &data)
}}

// Is offkey itself well?
var health = page{"health", "Health", func(v *visit) (any, error) {
	var data struct {
		OK       bool          `json:"ok"`
		Findings []api.Finding `json:"findings"`
	}
	return &data, v.get("/doctor", &data)
}}

// What is configured, and from where?
var settings = page{"settings", "Settings", func(v *visit) (any, error) {
	var data struct {
		File     string        `json:"file"`
		Settings []api.Setting `json:"settings"`
	}
	return &data, v.get("/config", &data)
}}

func csvTime(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
