package notify

import (
	"fmt"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

func TestAMessageIsOnDiskWhenTheOwnerIsTold(t *testing.T) {
	w := newWorld(t, nil)
	c := w.register(newKey())
	names := w.files()
	if len(names) != 1 || w.counted(spooled) != 1 {
		t.Fatalf("%q, counted %d", names, w.counted(spooled))
	}
	if _, _, text := opened(t, w.file(names[0])); !strings.Contains(text, c.ID) {
		t.Error(text)
	}
	for path, want := range map[string]os.FileMode{
		w.folder: 0o700 | os.ModeDir, filepath.Join(w.folder, "failed"): 0o700 | os.ModeDir, filepath.Join(w.folder, names[0]): 0o600,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(w.folder, ".*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestWhoIsTold(t *testing.T) {
	second := mail.Address{Address: "second@example.com"}
	tests := []struct {
		name, contact string
		admins        []mail.Address
		want          []string
	}{
		{"the contact", "owner@acme.example", []mail.Address{admin}, []string{"<owner@acme.example>"}},
		{"the contact, without the name it has", "Bcc: x <owner@acme.example>", []mail.Address{admin}, []string{`"Ops" <ops@example.com>`}},
		{"the contact and no admin", "Owner <owner@acme.example>", nil, []string{"<owner@acme.example>"}},
		{"each admin where there is no contact", "", []mail.Address{admin, second}, []string{`"Ops" <ops@example.com>`, "<second@example.com>"}},
		{"the admins where the contact is no address", "ask Ana\r\nBcc: x@example.org", []mail.Address{second}, []string{"<second@example.com>"}},
		{"whoever reads the folder", "", nil, []string{nobody}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(s *Settings) { s.Admins = tt.admins })
			k := newKey()
			k.Contact = tt.contact
			w.register(k)
			var got []string
			for _, name := range w.files() {
				header, _, _ := opened(t, w.file(name))
				got = append(got, header.Get("To"))
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestOfManyRegistrationsADigestIsTold(t *testing.T) {
	w := newWorld(t, nil)
	k := newKey()
	for range mostPerDay + 5 {
		w.register(k)
	}
	names := w.files()
	if len(names) != mostPerDay+1 || w.counted(withheld) != 4 {
		t.Fatalf("%d messages, %d withheld", len(names), w.counted(withheld))
	}
	_, subject, text := opened(t, w.file(names[mostPerDay]))
	if !strings.HasPrefix(subject, "More than 20 clients were registered today") || !strings.Contains(text, "offkey apikeys block "+k.ID) {
		t.Errorf("the last is %q:\n%s", subject, text)
	}
	w.register(newKey())
	w.pass(24 * time.Hour)
	w.register(k)
	if got := len(w.files()) - len(names); got != 2 {
		t.Errorf("%d messages for another apikey and the next day, want 2", got)
	}
}

func TestAClientIsToldOfOnce(t *testing.T) {
	w := newWorld(t, nil)
	k := newKey()
	c := w.register(k)
	w.UpgradeRegistered(t.Context(), k, c, network)
	if n := len(w.files()); n != 1 {
		t.Errorf("%d messages", n)
	}
	w.start() // a process does not know what another had told, and tells it again
	w.UpgradeRegistered(t.Context(), k, c, network)
	names := w.files()
	if len(names) != 2 {
		t.Fatalf("%d messages", len(names))
	}
	first, _, _ := opened(t, w.file(names[0]))
	again, _, _ := opened(t, w.file(names[1]))
	if first.Get("Message-ID") != again.Get("Message-ID") {
		t.Errorf("%s and %s: a mailbox cannot see that they are the same", first.Get("Message-ID"), again.Get("Message-ID"))
	}
}

func TestAnOutboxThatCannotBeWrittenIsNotTheCallersFault(t *testing.T) {
	w := newWorld(t, nil)
	if err := os.RemoveAll(w.folder); err != nil {
		t.Fatal(err)
	}
	k := newKey()
	c := w.register(k)
	if w.counted(lost) != 1 {
		t.Error("not counted")
	}
	w.wantLog("the outbox cannot be written")
	w.wantLog(c.ID)
	w.start()
	w.UpgradeRegistered(t.Context(), k, c, network)
	if len(w.files()) != 1 {
		t.Error("asked again, it does not tell")
	}
}

func TestTheOutboxIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	w.spool.most = 5
	var clients []string
	for range 8 {
		clients = append(clients, w.register(newKey()).ID)
	}
	names := w.files()
	if len(names) != 5 || w.counted(dropped) != 3 {
		t.Fatalf("%d messages, %d dropped", len(names), w.counted(dropped))
	}
	for i, name := range names {
		if _, _, text := opened(t, w.file(name)); !strings.Contains(text, clients[3+i]) {
			t.Errorf("message %d is not of client %d: not the oldest were dropped", i, 3+i)
		}
	}
	w.wantLog("the outbox is full")
}

func TestWhatAKilledProcessHadBegunIsCleared(t *testing.T) {
	w := newWorld(t, nil)
	w.register(newKey())
	begun := filepath.Join(w.folder, ".20270301T120000.000000000Z-00000000.eml")
	if err := os.WriteFile(begun, []byte("From: half a mess"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := len(w.files()); n != 1 {
		t.Fatalf("%d messages while one is written", n)
	}
	w.start()
	if _, err := os.Stat(begun); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if n := len(w.files()); n != 1 {
		t.Errorf("%d messages after the start", n)
	}
}

func TestRegistrationsAtOnceAreAllTold(t *testing.T) {
	w := newWorld(t, nil)
	const together, each = 8, 10
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range together {
		wg.Go(func() {
			<-start
			for range each {
				w.register(newKey())
			}
		})
	}
	close(start)
	wg.Wait()
	names := w.files()
	if len(names) != together*each || w.counted(spooled) != len(names) {
		t.Errorf("%d files, counted %d", len(names), w.counted(spooled))
	}
	for _, name := range names {
		opened(t, w.file(name))
	}
}

func TestRegistrationsAtOnceKeepTheBound(t *testing.T) {
	w := newWorld(t, nil)
	w.spool.most = 7
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				w.register(newKey())
			}
		})
	}
	wg.Wait()
	if n := len(w.files()); n != 7 || w.counted(dropped) != 80-7 {
		t.Errorf("%d files, %d dropped", n, w.counted(dropped))
	}
}

func TestAnApikeyNeverComesIntoItsMessages(t *testing.T) {
	// the fields of apikey.Key that a message shows are those that lists show
	w := newWorld(t, nil)
	k := newKey()
	k.Fingerprint[0], k.Fingerprint[1] = 0xab, 0xcd
	w.register(k)
	raw := string(w.file(w.files()[0]))
	if strings.Contains(raw, k.Fingerprint.String()) || !strings.Contains(raw, k.Last4) {
		t.Error(raw)
	}
}

func BenchmarkUpgradeRegistered(b *testing.B) {
	w := newWorld(b, nil)
	for b.Loop() {
		w.register(&apikey.Key{ID: apikey.NewID(), Last4: "7f3a"})
	}
}
