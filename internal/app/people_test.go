package app

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
)

func TestTheFirstAdministratorComesByALinkOfTheStart(t *testing.T) {
	p := runProcess(t, "")
	at, err := url.Parse(p.Addresses().Setup)
	if err != nil || !strings.HasSuffix(at.Path, "/setup") || at.Host != "127.0.0.1:1" {
		t.Fatalf("the link is %q", p.Addresses().Setup)
	}
	raw := at.Query().Get("token")
	for _, file := range []string{"offkey.db", "offkey.db-wal"} {
		if kept, err := os.ReadFile(filepath.Join(p.data.path, file)); err == nil && strings.Contains(string(kept), raw) {
			t.Errorf("%s holds the link", file)
		}
	}
	s, err := p.views.people.SetUp(t.Context(), raw, "ana", "", directory.Proof{Password: anasPassword})
	if err != nil || !s.Has(directory.RoleAdmin) || p.entries("person.set_up") != 1 || p.entries("people.setup_link_made") != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestTheLinkOfTheStartLastsHalfAnHour(t *testing.T) {
	p := runProcess(t, "")
	at, err := url.Parse(p.Addresses().Setup)
	if err != nil {
		t.Fatal(err)
	}
	p.pass(30 * time.Minute)
	if _, err := p.views.people.SetUp(t.Context(), at.Query().Get("token"), "ana", "", directory.Proof{Password: anasPassword}); !errors.Is(err, directory.ErrSpent) {
		t.Error(err)
	}
}

func TestWhereThereArePeopleThereIsNoLink(t *testing.T) {
	if link := runProcess(t, "people: {users: [{name: ana}]}\n").Addresses().Setup; link != "" {
		t.Errorf("the link is %q", link)
	}
}

func TestALinkIsMailedByTheOutbox(t *testing.T) {
	p := runProcess(t, "people: {users: [{name: ana, email: ana@example.com}]}\n")
	ana := p.account("ana")
	raw, l, err := p.views.people.NewLink(t.Context(), directory.ForReset, ana.ID, system("person.link_made", ana.ID))
	if err != nil {
		t.Fatal(err)
	}
	links := peopleLinks{p.App}
	if err := links.Mail(t.Context(), ana.Person, l, links.URL(directory.ForReset, raw)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(p.data.path, "outbox", "*.eml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others can read it: %v, %v", info.Mode(), err)
	}
}
