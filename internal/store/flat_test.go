package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	sessions "github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// flowsApart is the time between two flows: a hundred thousand are 23 days.
const flowsApart = 20 * time.Second

// flowTables are those to which flows of people add rows.
var flowTables = []string{
	"device", "browser_request", "pushed_request", "authorization_code", "granted", "refresh_family", "spent_assertion", "revocation", "change_log",
}

// flat is a store whose clock a test moves.
type flat struct {
	*DB
	t  *testing.T
	at atomic.Int64
}

func (f *flat) now() time.Time { return time.Unix(0, f.at.Load()).UTC() }

func (f *flat) ok(err error) {
	if err != nil {
		f.t.Error(err)
	}
}

// flow begins everything that strangers and people can begin, and ends some of
// it: of each three one is finished, one given up, and one goes wrong.
func (f *flat) flow(n int) {
	ctx, now, name := f.t.Context(), f.now(), fmt.Sprint("flow ", n)
	ends := n % 3
	device := sessions.Device{
		ID: "gr_d" + name, Code: secret.HashOf("d" + name), UserCode: name, ClientID: "cl_1", Ask: sessions.Ask{Scope: oauth.Scope{"read:orders"}},
		Created: now, Expires: now.Add(sessions.DeviceLife), Interval: sessions.DeviceInterval,
	}
	f.ok(f.StartDevice(ctx, device, sessions.DeviceLimits{PerClient: 1000, All: 1000}, now))
	_, err := f.PollDevice(ctx, device.Code, now)
	f.ok(err)
	request := sessions.Request{
		ID: "r" + name, Browser: secret.HashOf("b" + name), Kind: sessions.ForClient, ClientID: "cl_1", Return: "/authorize", Created: now, Expires: now.Add(sessions.RequestLife),
	}
	f.ok(f.PutRequest(ctx, request, sessions.RequestLimits{PerBrowser: 10, All: 10_000}))
	pushed := sessions.Pushed{Hash: secret.HashOf("p" + name), ClientID: "cl_1", Body: []byte("{}"), Expires: now.Add(sessions.PushedLife)}
	f.ok(f.PushRequest(ctx, pushed, sessions.PushedLimits{PerClient: 1000, All: 1000}))
	if ends == 1 {
		return // whoever began this has gone
	}
	answer := sessions.Answer{PersonID: "pe_1", Scope: oauth.Scope{"read:orders"}, At: now}
	f.ok(f.AnswerDevice(ctx, device.Code, answer, did("device.answered")))
	_, err = f.RedeemDevice(ctx, device.Code, now)
	f.ok(err)
	g := token.Grant{ID: "gr_" + name, ClientID: "cl_1", Login: token.Login{PersonID: "pe_1"}, Scope: oauth.Scope{"read:orders"}, Created: now}
	code := token.Code{Hash: secret.HashOf("c" + name), Grant: g, Expires: now.Add(token.CodeLife)}
	f.ok(f.IssueCode(ctx, code, pushed.Hash, did("code.issued")))
	_, err = f.RedeemCode(ctx, code.Hash, now)
	f.ok(err)
	_, first := token.NewRefreshToken()
	_, next := first.Next([]byte("a key of thirty-two bytes or more"))
	family := token.Family{
		Grant: g, Handle: first.Handle, Current: first.Secret, LastUsed: now, Idle: time.Hour, Ends: now.Add(24 * time.Hour),
	}
	f.ok(f.StartFamily(ctx, family, did("family.started")))
	_, err = f.UseFamily(ctx, first, next, now, 0)
	f.ok(err)
	_, err = f.SpendAssertion(ctx, "cl_1", name, now.Add(time.Minute))
	f.ok(err)
	if ends == 2 { // the refresh token comes a second time, and the grant falls
		is, err := f.UseFamily(ctx, first, next, now.Add(time.Second), 0)
		f.ok(err)
		if is != token.Reused {
			f.t.Errorf("a refresh token that was used is %v", is)
		}
	}
}

// clean does what the job of a process does.
func (f *flat) clean() {
	for {
		n, err := f.Clean(f.t.Context(), f.now(), 2000)
		f.ok(err)
		if n < 2000 || err != nil {
			return
		}
	}
}

// rows counts what is kept of flows, and pages those of the file that are used.
func (f *flat) rows() (rows map[string]int, pages int) {
	rows = map[string]int{}
	f.ok(f.view(f.t.Context(), func(s *session) error {
		for _, table := range flowTables {
			var n int
			if err := s.one(`SELECT count(*) FROM `+table, nil, &n); err != nil {
				return err
			}
			rows[table] = n
		}
		var all, free, audit int
		if err := s.one(`PRAGMA page_count`, nil, &all); err != nil {
			return err
		}
		if err := s.one(`PRAGMA freelist_count`, nil, &free); err != nil {
			return err
		}
		if err := s.one(`SELECT sum(pgsize) / (SELECT page_size FROM pragma_page_size) FROM dbstat WHERE name = 'audit_entry'`, nil, &audit); err != nil {
			return err
		}
		pages = all - free - audit
		return nil
	}))
	return rows, pages
}

// What flows leave is cleaned while others go on: after the first
// week there is never more of it, and in the end nothing. The audit log alone
// grows. 2000 flows by default, a hundred thousand with OFFKEY_TEST_LONG=1.
func TestLongFlowsLeaveNothingBehind(t *testing.T) {
	// checklist_229
	flows := 2000
	if os.Getenv("OFFKEY_TEST_LONG") != "" {
		flows = 100_000
	}
	f := &flat{t: t}
	f.at.Store(time.Date(2027, 1, 15, 0, 0, 0, 0, time.UTC).UnixNano())
	var err error
	if f.DB, err = Open(t.Context(), Options{DSN: filepath.Join(t.TempDir(), "offkey.db"), Now: f.now, TokenLife: time.Hour}); err != nil {
		t.Fatal(err)
	}
	defer func() { f.ok(f.Close()) }()
	const together = 50
	week := int((keepChanges + 24*time.Hour) / flowsApart) // by then the first of everything has gone
	var after map[string]int
	var pages int
	for n := 0; n < flows; n += together {
		var wg sync.WaitGroup
		for i := range together {
			wg.Go(func() { f.flow(n + i) })
		}
		wg.Wait()
		f.at.Add(int64(together * flowsApart))
		f.clean()
		if t.Failed() {
			return
		}
		if n < week || n%(week/2) >= together {
			continue
		}
		rows, used := f.rows()
		t.Logf("after %d flows: %d pages without the audit log, %v", n+together, used, rows)
		if after == nil {
			after, pages = rows, used
			continue
		}
		for table, n := range rows {
			if n > after[table]+after[table]/20+together {
				t.Errorf("%s has grown from %d rows to %d", table, after[table], n)
			}
		}
		if used > pages+pages/10 {
			t.Errorf("from %d pages to %d", pages, used)
		}
	}
	if flows > 2*week && after == nil {
		t.Fatal("nothing was measured")
	}
	f.at.Add(int64(10 * 24 * time.Hour))
	f.clean()
	rows, _ := f.rows()
	for table, n := range rows {
		if most := map[string]int{"change_log": 1}[table]; n > most {
			t.Errorf("%s keeps %d rows in the end", table, n)
		}
	}
	f.ok(f.Check(t.Context()))
}
