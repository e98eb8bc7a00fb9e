package app

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
)

func TestADeclaredClientThatWasStoppedStaysSoOverReloads(t *testing.T) {
	test := audit.Event{Actor: "os:0", Action: "test"}
	p := runProcess(t, "clients:\n"+declared("alpha"))
	r, _, err := p.db.OpenLeak(t.Context(), leak.Opening{Record: &leak.Record{ID: leak.NewID(), Subject: leak.Subject{Kind: leak.KindClient, ID: "alpha"}}, Contain: true}, test)
	if err != nil {
		t.Fatal(err)
	}
	status := func() client.Status {
		t.Helper()
		c, err := p.db.Client(t.Context(), "alpha")
		if err != nil {
			t.Fatal(err)
		}
		return c.Status
	}
	p.write("clients:\n" + declared("alpha") + declared("beta"))
	if err := p.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != client.Disabled {
		t.Errorf("after a reload it is %s", got)
	}
	if _, err := p.db.CloseLeak(t.Context(), r.ID, "os:0", "a mistake", true, test); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != client.Active {
		t.Errorf("restored it is %s", got)
	}
}

func TestAReportFromOutsideStopsAnApikey(t *testing.T) {
	p := runProcess(t, "leaks: {report: block}\n")
	k, err := p.db.LearnAPIKey(t.Context(), &apikey.Key{ID: "ak_1", Fingerprint: p.data.pepper.Fingerprint("found-on-the-street-0123")}, audit.Event{Actor: "os:0", Action: "test"})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(p.Addresses().Issuer+"/leaks", "application/json", strings.NewReader(`{"credentials":["found-on-the-street-0123"],"where":"the street"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := p.views.apikeys.ByID(k.ID); resp.StatusCode != http.StatusAccepted || got.Stage != apikey.Blocked {
		t.Errorf("answered %d, stage %v", resp.StatusCode, got.Stage)
	}
	if mails, err := filepath.Glob(filepath.Join(p.outbox.Folder, "*.eml")); err != nil || len(mails) != 1 {
		t.Errorf("in the outbox: %v, %v", mails, err)
	}
}
