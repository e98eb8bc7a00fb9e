package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

func TestTheInventoryIsFilteredAndSorted(t *testing.T) {
	w := newWorld(t)
	day := 24 * time.Hour
	busy := w.apikey("busy-key-0123456789-abcd", "busy", "Acme Ltd")
	quiet := w.apikey("quiet-key-0123456789-efgh", "quiet", "Globex")
	idle := w.apikey("idle-key-0123456789-ijkl", "idle", "")
	w.calls(busy, 500, "GET", "/v1/orders", "header:X-API-Key", time.Hour)
	w.calls(quiet, 3, "GET", "/v1/orders", "query:api_key", 10*day)
	w.ask(200, "POST", "/stage", map[string]any{"stage": "warn", "apikeys": []string{quiet}})

	name := map[string]string{busy: "busy", quiet: "quiet", idle: "idle"}
	for query, want := range map[string]string{
		"":                          "busy quiet idle",
		"sort=calls":                "busy quiet idle",
		"sort=last_used":            "busy quiet idle",
		"sort=first_used":           "idle quiet busy",
		"sort=owner":                "idle busy quiet",
		"sort=stage":                "busy idle quiet",
		"stage=warn":                "quiet",
		"stage=observe":             "busy idle",
		"owner=Globex":              "quiet",
		"owner=-":                   "idle",
		"unused=5d":                 "quiet idle",
		"unused=5d&owner=Globex":    "quiet",
		"where=query":               "quiet",
		"where=header:X-API-Key":    "busy",
		"where=cookie":              "",
		"sort=calls&limit=1":        "busy",
		"sort=calls&after=" + quiet: "idle",
	} {
		w.run(t, query, func(t *testing.T) {
			var got []string
			for _, id := range column(w.ask(200, "GET", "/apikeys?"+query, nil).list("apikeys"), "id") {
				got = append(got, name[id])
			}
			if strings.Join(got, " ") != want {
				t.Errorf("lists %v, want %s", got, want)
			}
		})
	}
	w.refused(400, "GET", "/apikeys?stage=gone", nil, "upgrade_only")
	w.refused(400, "GET", "/apikeys?unused=long", nil, "30d")
}

func TestAnInventoryOfMoreThanOnePageOfTheStoreIsWhole(t *testing.T) {
	w := newWorld(t)
	var keys []*apikey.Key
	for i := range 1500 {
		keys = append(keys, &apikey.Key{ID: apikey.NewID(), Fingerprint: w.pepper.Fingerprint(fmt.Sprint(i)), KnownBy: apikey.KnownByImport, Created: w.now()})
	}
	if _, err := w.db.ImportAPIKeys(t.Context(), keys, audit.Event{Actor: "system", Action: "test"}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for after := ""; ; {
		d := w.ask(200, "GET", "/apikeys?limit=1000&sort=calls&after="+after, nil)
		for _, id := range column(d.list("apikeys"), "id") {
			seen[id] = true
		}
		if after = d.text("next"); after == "" {
			break
		}
	}
	if len(seen) != 1500 {
		t.Errorf("%d apikeys are listed, want 1500", len(seen))
	}
}

func TestAnAPIKeyIsShownByIdBeginningLabelAndItself(t *testing.T) {
	w := newWorld(t)
	id := w.apikey("busy-key-0123456789-abcd", "nightly report", "Acme Ltd")
	w.calls(id, 7, "GET", "/v1/orders", "header:X-API-Key", time.Hour)
	for _, ref := range []string{id, id[:20], "nightly%20report"} {
		d := w.ask(200, "GET", "/apikeys/"+ref, nil)
		if d.text("id") != id || d.number("calls") != 7 || d.text("last4") != "abcd" || len(d.list("scopes")) != 1 {
			t.Errorf("%s shows %v", ref, d)
		}
	}
	if d := w.ask(200, "POST", "/apikeys/lookup", map[string]string{"apikey_secret": "busy-key-0123456789-abcd"}); d.text("id") != id {
		t.Errorf("the apikey itself shows %v", d)
	}
	d := w.refused(404, "POST", "/apikeys/lookup", map[string]string{"apikey_secret": "other-key-0123456789"}, "not_found")
	if strings.Contains(d.text("detail")+d.text("fix"), "other-key") {
		t.Error("the problem repeats the apikey")
	}
	w.refused(400, "POST", "/apikeys/lookup", map[string]string{}, "apikey_secret")
	w.refused(404, "GET", "/apikeys/ak_none", nil, "ak_none")
	if d := w.refused(404, "GET", "/apikeys/other-key-0123456789", nil, "--apikey-stdin"); strings.Contains(d.text("detail")+d.text("fix"), "other-key") {
		t.Error("an apikey in place of an id is repeated")
	}
}

func TestAListIsBroughtInOnce(t *testing.T) {
	w := newWorld(t)
	list := "key,name,owner,email\nlist-key-0123456789-aaaa,first,Acme,a@acme.example\nlist-key-0123456789-bbbb,second,Globex,\n"
	w.unchanged(func() {
		if d := w.ask(200, "POST", "/apikeys/import?dry_run=true", list); d.number("added") != 2 || d["dry_run"] != true {
			t.Errorf("the dry run says %v", d)
		}
	})
	if d := w.ask(200, "POST", "/apikeys/import", list); d.number("added") != 2 {
		t.Errorf("the import says %v", d)
	}
	w.audited("apikey.imported")
	w.unchanged(func() {
		if d := w.ask(200, "POST", "/apikeys/import", list); d.number("unchanged") != 2 {
			t.Errorf("the same list again says %v", d)
		}
	})
	if d := w.ask(200, "POST", "/apikeys/import?column.key=token&column.owner=tenant", "token,tenant\nlist-key-0123456789-aaaa,Initech\n"); d.number("updated") != 1 {
		t.Errorf("an import with other columns says %v", d)
	}
	if d := w.ask(200, "GET", "/apikeys/first", nil); d.text("owner") != "Initech" || d.text("known_by") != "imported" {
		t.Errorf("it is now %v", d)
	}
}

func TestWhatIsNoListIsRefusedWithoutRepeatingIt(t *testing.T) {
	w := newWorld(t)
	const value = "leaky-key-0123456789-zzzz"
	for name, tt := range map[string]struct{ query, body, says string }{
		"CSV without a heading":      {"format=csv", value + ",Acme\n" + value + "2,Globex\n", "no column"},
		"an algorithm nobody knows":  {"algorithm=rot13", "hash,owner\n" + value + ",Acme\n", "sha256"},
		"a format that is not known": {"format=xml", "<key>" + value + "</key>", "jsonl"},
	} {
		w.run(t, name, func(t *testing.T) {
			w.unchanged(func() {
				d := w.refused(400, "POST", "/apikeys/import?"+tt.query, tt.body, tt.says)
				if strings.Contains(d.text("detail")+d.text("fix"), value) {
					t.Error("the problem repeats the apikey")
				}
			})
		})
	}
	d := w.ask(200, "POST", "/apikeys/import?format=jsonl", `{"key": "`+value+"\n"+`{"key":"`+value+`"}`+"\n")
	if d.number("rejected") != 1 || d.number("added") != 1 {
		t.Errorf("a list with a broken line says %v", d)
	}
	if strings.Contains(mustJSON(t, d), value) {
		t.Error("the report repeats the apikey")
	}
}

func TestAnAPIKeyIsMappedToAClientAndBack(t *testing.T) {
	w := newWorld(t)
	id := w.apikey("some-key-0123456789-abcd", "nightly", "")
	c := w.client("billing", "client_secret_basic").text("client_id")
	w.unchanged(func() {
		if d := w.ask(200, "POST", "/apikeys/"+id+"/map?dry_run=true", map[string]string{"client": "billing"}); d.text("client_id") != c {
			t.Errorf("the dry run shows %v", d)
		}
	})
	if d := w.ask(200, "POST", "/apikeys/"+id+"/map", map[string]string{"client": "billing"}); d.text("client_id") != c {
		t.Errorf("it is mapped to %q, want %q", d.text("client_id"), c)
	}
	w.audited("apikey.mapped")
	if d := w.ask(200, "POST", "/apikeys/nightly/map", map[string]string{}); d.text("client_id") != "" {
		t.Errorf("it is still mapped to %q", d.text("client_id"))
	}
	w.refused(404, "POST", "/apikeys/"+id+"/map", map[string]string{"client": "nobody"}, "nobody")
}

func TestAnExtensionHoldsWhateverBecomesOfAll(t *testing.T) {
	w := newWorld(t)
	id := w.apikey("some-key-0123456789-abcd", "", "")
	extend := func(body map[string]string) document { return w.ask(200, "POST", "/apikeys/"+id+"/extend", body) }
	good := map[string]string{"until": "2027-12-31", "reason": "release in December"}

	d := extend(good)
	if d.text("stage") != "observe" || d.text("until") != "2027-12-31T00:00:00Z" {
		t.Errorf("it is now %v", d)
	}
	if e := w.audited("apikey.extended"); !strings.Contains(mustJSON(t, e), "release in December") {
		t.Errorf("the audit does not say why: %v", e)
	}
	w.ask(200, "POST", "/stage", map[string]any{"stage": "retired", "all": true})
	if d := w.ask(200, "GET", "/apikeys/"+id, nil); d.text("stage") != "warn" || d.text("stage_by") != "extension" {
		t.Errorf("all are retired, and it is %s", d.text("stage"))
	}
	w.ask(200, "POST", "/stage", map[string]any{"stage": "retired", "apikeys": []string{id}})
	if d := extend(good); d.text("stage") != "warn" {
		t.Errorf("one that was refused is %s, want warn", d.text("stage"))
	}
	for name, body := range map[string]map[string]string{
		"a day that has passed": {"until": "2027-01-01", "reason": "x"}, "no day": {"reason": "x"}, "no reason": {"until": "2027-12-31"},
		"no date": {"until": "soon", "reason": "x"}, "a reason of two lines": {"until": "2027-12-31", "reason": "x\ny"},
	} {
		w.run(t, name, func(t *testing.T) { w.refused(400, "POST", "/apikeys/"+id+"/extend", body) })
	}
	w.ask(200, "POST", "/apikeys/"+id+"/block", map[string]string{"reason": "leak"})
	w.refused(409, "POST", "/apikeys/"+id+"/extend", good, "blocked")
}

func TestARevokedAPIKeyIsRetiredAndSaysWhatStops(t *testing.T) {
	w := newWorld(t)
	id := w.apikey("some-key-0123456789-abcd", "", "")
	w.calls(id, 12, "GET", "/v1/orders", "header:X-API-Key", time.Hour)
	w.unchanged(func() {
		if d := w.ask(200, "POST", "/apikeys/"+id+"/revoke?dry_run=true", nil); d.number("calls") != 12 {
			t.Errorf("the dry run says %v, want 12 calls", d)
		}
	})
	w.ask(200, "POST", "/apikeys/"+id+"/revoke", map[string]string{"reason": "unused since March"})
	if e := w.audited("apikey.stage_set"); !strings.Contains(mustJSON(t, e), "unused since March") {
		t.Errorf("the audit does not say why: %v", e)
	}
	if d := w.ask(200, "GET", "/apikeys/"+id, nil); d.text("stage") != "retired" {
		t.Errorf("its stage is %s, want retired", d.text("stage"))
	}
	w.refused(400, "POST", "/apikeys/"+id+"/revoke", map[string]string{"since": "7d"}, "leaks")
}

func TestBlockingStopsWhatWasMadeSinceTheLeak(t *testing.T) {
	w := newWorld(t)
	id := w.apikey("some-key-0123456789-abcd", "", "")
	made := func() string {
		c := &client.Client{
			ID: client.NewID(), Name: "made with it", Status: client.Active, AuthMethod: oauth.AuthPrivateKeyJWT, Audience: client.Strict,
			Grants: []string{oauth.GrantClientCredentials}, APIKeyID: id, Source: client.SourceUpgrade, Created: w.now(),
		}
		if err := w.db.CreateClient(t.Context(), c, audit.Event{Actor: "system", Action: "test"}); err != nil {
			t.Fatal(err)
		}
		return c.ID
	}
	before := made()
	w.pass(48 * time.Hour)
	after := made()
	w.unchanged(func() { w.ask(200, "POST", "/apikeys/"+id+"/block?dry_run=true", nil) })
	d := w.ask(200, "POST", "/apikeys/"+id+"/block", map[string]string{"since": "24h", "reason": "public repository"})
	if got := strings.Join(d.texts("clients_disabled"), " "); got != after {
		t.Errorf("disabled are %s, want %s", got, after)
	}
	if got := strings.Join(d.texts("clients_kept"), " "); got != before {
		t.Errorf("kept are %s, want %s", got, before)
	}
	w.audited("apikey.blocked")
	if c := w.stored(after); c.Status != client.Disabled {
		t.Errorf("the client made since is %s", c.Status)
	}
	// A leak that turns out to be older takes the other one too.
	if d := w.ask(200, "POST", "/apikeys/"+id+"/block", map[string]string{}); strings.Join(d.texts("clients_disabled"), " ") != before {
		t.Errorf("without since disabled are %v, want %s", d.texts("clients_disabled"), before)
	}
}
