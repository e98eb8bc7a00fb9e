package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/api"
)

func TestRequestsThatCannotBeMeantAreRefusedWithTheCause(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		name         string
		method, path string
		body         any
		status       int
		says         []string
	}{
		{"a path that is not there", "GET", "/nothing", nil, 404, []string{"not_found", "/api/v1/nothing"}},
		{"a method that is not there", "DELETE", "/status", nil, 405, []string{"method_not_allowed", "GET"}},
		{"a parameter that is not known", "GET", "/clients?limt=5", nil, 400, []string{`"limt"`, "limit"}},
		{"a parameter where there are none", "GET", "/status?verbose=1", nil, 400, []string{`"verbose"`}},
		{"a parameter given twice", "GET", "/clients?limit=5&limit=6", nil, 400, []string{`"limit"`, "2 times"}},
		{"a limit that is no number", "GET", "/clients?limit=many", nil, 400, []string{`"many"`, "1 to 1000"}},
		{"a limit beyond the most", "GET", "/clients?limit=1001", nil, 400, []string{"1 to 1000"}},
		{"an order that is not known", "GET", "/clients?sort=colour", nil, 400, []string{"colour", "last_used"}},
		{"a cursor that names nothing", "GET", "/clients?after=cl_gone", nil, 400, []string{"cl_gone"}},
		{"a flag that is neither true nor false", "POST", "/clients?dry_run=maybe", map[string]string{}, 400, []string{"maybe"}},
		{"a query that cannot be read", "GET", "/clients?owner=%zz", nil, 400, []string{"query"}},
		{"a member that is not known", "POST", "/clients", map[string]string{"nme": "x"}, 400, []string{`"nme"`, "name"}},
		{"a member of the wrong type", "POST", "/clients", map[string]any{"name": 7}, 400, []string{"name", "number"}},
		{"no JSON at all", "POST", "/clients", "name=x", 400, []string{"not valid"}},
		{"more than one JSON object", "POST", "/clients", `{} {}`, 400, []string{"follows"}},
		{"a list in place of the object", "POST", "/clients", []string{"x"}, 400, []string{"array"}},
		{"a body beyond the most", "POST", "/clients", map[string]string{"name": strings.Repeat("x", 2<<20)}, 413, []string{"1048576 bytes"}},
		{"a time that is none", "GET", "/audit?since=yesterday", nil, 400, []string{"yesterday", "30d"}},
	}
	for _, tt := range tests {
		w.run(t, tt.name, func(t *testing.T) {
			w.refused(tt.status, tt.method, tt.path, tt.body, tt.says...)
		})
	}
}

func TestABodyOfAnotherMediaTypeIsRefused(t *testing.T) {
	w := newWorld(t)
	resp, err := w.http.Post("http://offkey/api/v1/clients", "application/x-www-form-urlencoded", strings.NewReader("name=x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("answer is %s, want 415", resp.Status)
	}
}

func TestAnswersAreKeptByNobody(t *testing.T) {
	w := newWorld(t)
	resp, err := w.http.Get("http://offkey/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q, want no-store", got)
	}
}

func TestAServerThatLacksAPartIsNotMade(t *testing.T) {
	if _, err := api.New(api.Options{}); err == nil {
		t.Error("it is made of nothing")
	}
}

func TestPagesOfAListAreTheWholeListOnce(t *testing.T) {
	w := newWorld(t)
	var all []string
	for i := range 7 {
		d := w.ask(201, "POST", "/clients", map[string]any{"name": fmt.Sprintf("c%d", i), "auth": "client_secret_basic"})
		all = append(all, d.text("client_id"))
	}
	for _, sort := range []string{"", "created", "name", "owner", "last_used"} {
		w.run(t, "sort="+sort, func(t *testing.T) {
			var seen []string
			for after, pages := "", 0; pages < 10; pages++ {
				d := w.ask(200, "GET", "/clients?limit=3&sort="+sort+"&after="+after, nil)
				seen = append(seen, column(d.list("clients"), "client_id")...)
				if after = d.text("next"); after == "" {
					if d["next"] != nil {
						t.Errorf("next of the last page is %v, want null", d["next"])
					}
					break
				}
			}
			if strings.Join(seen, " ") != strings.Join(all, " ") {
				t.Errorf("pages hold %v, want %v", seen, all)
			}
		})
	}
}
