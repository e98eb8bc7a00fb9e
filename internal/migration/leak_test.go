package migration

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

// letters takes what the owners are told.
type letters struct{ sent []*leak.Record }

func (l *letters) LeakFound(_ context.Context, r *leak.Record, k *apikey.Key, _ *client.Client) (string, error) {
	l.sent = append(l.sent, r)
	if k != nil && k.Contact == "" {
		return "", nil
	}
	return "its owner", nil
}

// madeClient is one that was registered with an apikey.
func (w *world) madeClient(id, apikeyID string, created time.Time) *client.Client {
	w.Helper()
	c := &client.Client{ID: id, Name: id, Status: client.Active, AuthMethod: oauth.AuthPrivateKeyJWT, Audience: client.Strict, Source: client.SourceUpgrade, APIKeyID: apikeyID, Created: created}
	if err := w.db.CreateClient(w.ctx, c, audit.Event{Actor: "test", Action: "client.registered"}); err != nil {
		w.Fatal(err)
	}
	return c
}

func TestARadiusTellsTheThiefFromTheOwner(t *testing.T) {
	w := newWorld(t, route(t, "GET /v1/orders", "read:orders"), route(t, "GET /v1/people", "read:people"))
	k := w.learnt("the-leaked-one-0123456789")
	w.madeClient("cl_before", k.ID, noon.Add(-72*time.Hour))
	w.madeClient("cl_since", k.ID, noon.Add(-2*time.Hour))
	since := noon.Add(-3 * time.Hour)
	w.calls(
		seen(k.ID, "GET", "/v1/orders", 500, ago(48*time.Hour)),
		seen(k.ID, "GET", "/v1/orders", 10, ago(2*time.Hour)),
		seen(k.ID, "GET", "/v1/people", 60, ago(2*time.Hour), from("198.51.100.0/24"), agent("thief/1.0")),
		seen(k.ID, "GET", "/v1/people", 1, ago(time.Hour), from("198.51.100.0/24"), agent("thief/1.0"), status(401), outcome("denied:apikey_blocked")),
		seen("cl_since", "GET", "/v1/orders", 7, ago(time.Hour), kind(traffic.KindClient), from("192.0.2.0/24"), agent("thief/1.0")),
		seen("cl_before", "GET", "/v1/orders", 3, ago(72*time.Hour), kind(traffic.KindClient)),
		seen("ak_other", "GET", "/v1/people", 1000, ago(time.Hour)),
	)
	report, err := w.OpenLeak(w.ctx, LeakOrder{Subject: leak.Subject{Kind: leak.KindAPIKey, ID: k.ID}, Since: since, By: leak.ByOperator, Actor: "os:0", DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	r := report.Radius
	if r.Calls != 78 || r.Refused != 1 {
		t.Errorf("%d calls, %d refused", r.Calls, r.Refused)
	}
	var networks, programs, scopes []string
	for _, n := range r.Networks {
		networks = append(networks, n.Name+map[bool]string{true: " new"}[n.New])
	}
	for _, p := range r.Programs {
		programs = append(programs, p.Name+map[bool]string{true: " new"}[p.New])
	}
	for _, s := range r.Scopes {
		scopes = append(scopes, s.Name)
	}
	for _, c := range []struct{ got, want []string }{
		{networks, []string{"198.51.100.0/24 new", "192.0.2.0/24 new", "203.0.113.0/24"}},
		{programs, []string{"thief new", "curl"}},
		{scopes, []string{"read:orders", "read:people"}},
		{r.wanted, []string{"read:orders"}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
	if len(r.Clients) != 2 || r.Clients[0].Since || !r.Clients[1].Since || r.Clients[1].Calls != 7 || r.Clients[0].Calls != 0 {
		t.Errorf("clients are %+v", r.Clients)
	}
	if all, _, err := w.db.Leaks(w.ctx, leak.Filter{}); err != nil || len(all) != 0 {
		t.Errorf("a dry run is on record: %v, %v", all, err)
	}
	if !strings.Contains(strings.Join(report.Replace, "\n"), `--scopes "read:orders"`) {
		t.Errorf("the thief's scopes are proposed: %q", report.Replace)
	}
}

func TestALeakRunsItsCourse(t *testing.T) {
	w := newWorld(t, route(t, "GET /v1/orders", "read:orders"))
	post := &letters{}
	w.LeakNotifier = post
	k := w.inUse("the-leaked-one-0123456789", func(k *apikey.Key) { k.Contact = "ops@acme.example" })
	w.madeClient("cl_since", k.ID, noon.Add(-time.Hour))
	subject, err := w.FindLeaked(w.ctx, " the-leaked-one-0123456789\n")
	if err != nil || subject.ID != k.ID {
		t.Fatalf("found %+v, %v", subject, err)
	}
	order := LeakOrder{Subject: subject, Since: noon.Add(-2 * time.Hour), By: leak.ByOperator, Actor: "os:0"}
	states := []leak.Status{}
	open := func(change func(*LeakOrder)) LeakReport {
		t.Helper()
		o := order
		change(&o)
		report, err := w.OpenLeak(w.ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, report.Status)
		return report
	}
	open(func(*LeakOrder) {})
	open(func(o *LeakOrder) { o.Contain = true })
	report := open(func(o *LeakOrder) { o.Notify = true })
	w.pass(time.Minute)
	replacing := w.madeClient("cl_new", "", w.now())
	if _, err := w.db.UpdateAPIKeys(w.ctx, []string{k.ID}, func(k *apikey.Key) error { k.ClientID = replacing.ID; return nil }, audit.Event{Actor: "x", Action: "x"}); err != nil {
		t.Fatal(err)
	}
	shown, err := w.ShowLeak(w.ctx, report.ID)
	if err != nil {
		t.Fatal(err)
	}
	closed, err := w.CloseLeak(w.ctx, report.ID, "all well", "os:0", false)
	if err != nil {
		t.Fatal(err)
	}
	states = append(states, shown.Status, closed.Status)
	if want := []leak.Status{leak.Open, leak.Contained, leak.Notified, leak.Replaced, leak.Closed}; !slices.Equal(states, want) {
		t.Errorf("states are %v", states)
	}
	if last := closed.Timeline[len(closed.Timeline)-1].What; last != "closed, replaced by client cl_new: all well" {
		t.Errorf("the last line is %q", last)
	}
	if k, err := w.db.APIKey(w.ctx, k.ID); err != nil || k.Stage != apikey.Blocked || len(post.sent) != 1 {
		t.Errorf("stage %v, %d letters, %v", k.Stage, len(post.sent), err)
	}
}

func TestWhatLeakedIsRecognised(t *testing.T) {
	w := newWorld(t)
	k := w.learnt("an-apikey-0123456789")
	clientSecret, other := secret.Generate(secret.KindClientSecret).Reveal(), secret.Generate(secret.KindClientSecret).Reveal()
	c := &client.Client{ID: "cl_1", Status: client.Active, AuthMethod: oauth.AuthClientSecretBasic, Audience: client.Strict, Source: client.SourceAPI, Created: noon,
		Credentials: []client.Credential{{ID: "cr_1", Kind: client.KindSecret, Hash: secret.HashOf(clientSecret), Created: noon}}}
	if err := w.db.CreateClient(w.ctx, c, audit.Event{Actor: "x", Action: "x"}); err != nil {
		t.Fatal(err)
	}
	refresh, _ := token.NewRefreshToken()
	for _, tc := range []struct {
		name, raw string
		want      leak.Subject
		ours      bool
	}{
		{"an apikey", "an-apikey-0123456789", leak.Subject{Kind: leak.KindAPIKey, ID: k.ID, Last4: "6789"}, true},
		{"a client secret", clientSecret, leak.Subject{Kind: leak.KindClient, ID: "cl_1", Part: "cr_1", Last4: clientSecret[len(clientSecret)-4:]}, true},
		{"a secret of the right shape that nobody has", other, leak.Subject{}, false},
		{"a secret whose checksum is wrong", clientSecret[:len(clientSecret)-1] + "!", leak.Subject{}, false},
		{"a refresh token that nobody has", refresh.Reveal(), leak.Subject{}, false},
		{"nothing", "  ", leak.Subject{}, false},
		{"something endless", strings.Repeat("a", maxLeaked+1), leak.Subject{}, false},
		{"what looks like a token", "a.b.c", leak.Subject{}, false},
	} {
		got, err := w.FindLeaked(w.ctx, tc.raw)
		if (err == nil) != tc.ours || tc.ours && got != tc.want {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
	}
}

func TestReportsOfStrangersStopOnceAndTellOnce(t *testing.T) {
	w := newWorld(t)
	post := &letters{}
	w.LeakNotifier = post
	k := w.learnt("an-apikey-0123456789")
	stranger := netip.MustParseAddr("198.51.100.7")
	for range 3 {
		ours, err := w.TakeReports(w.ctx, leak.ByReport, stranger, []leak.Reported{{Credential: "unknown-0123456789"}, {Credential: "an-apikey-0123456789", Where: "https://x.example/\x1b[2J"}}, true)
		if err != nil || !slices.Equal(ours, []bool{false, true}) {
			t.Fatalf("%v, %v", ours, err)
		}
	}
	all, _, err := w.db.Leaks(w.ctx, leak.Filter{})
	if err != nil || len(all) != 1 || all[0].Reports != 3 || len(post.sent) != 1 || all[0].Where != "https://x.example/?[2J" {
		t.Errorf("%d letters, records %+v, %v", len(post.sent), all, err)
	}
	if actor := all[0].Timeline[0].Actor; actor != "stranger:198.51.100.0/24" {
		t.Errorf("reported by %q", actor)
	}
	if k, err := w.db.APIKey(w.ctx, k.ID); err != nil || k.Stage != apikey.Blocked {
		t.Errorf("stage %v, %v", k.Stage, err)
	}
	if _, err := w.CloseLeak(w.ctx, all[0].ID, "", "os:0", true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.TakeReports(w.ctx, leak.ByReport, stranger, []leak.Reported{{Credential: "an-apikey-0123456789"}}, false); err != nil {
		t.Fatal(err)
	}
	if k, err := w.db.APIKey(w.ctx, k.ID); err != nil || k.Stage != apikey.Inherit {
		t.Errorf("told only, and yet the stage is %v, %v", k.Stage, err)
	}
}

func TestCallsSayWhoCalledWhat(t *testing.T) {
	w := newWorld(t)
	w.calls(
		seen("ak_1", "GET", "/v1/x", 5), seen("ak_1", "GET", "/v1/x", 2, status(401), outcome("denied:apikey_retired"), from("192.0.2.0/24")),
		seen("ak_1", "GET", "/v1/y", 1, ago(30*time.Hour)), seen("cl_1", "GET", "/v1/x", 9, kind(traffic.KindClient)),
	)
	got, err := w.CallsOf(w.ctx, &traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_1"}, noon.Add(-24*time.Hour))
	if err != nil || len(got.Calls) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if u := got.Calls[0]; u.Calls != 7 || u.Refused != 2 || u.Statuses["401"] != 2 || u.Statuses["200"] != 5 || !slices.Equal(u.Sources, []string{"203.0.113.0/24", "192.0.2.0/24"}) {
		t.Errorf("%+v", u)
	}
	all, err := w.CallsOf(w.ctx, nil, noon.Add(-48*time.Hour))
	if err != nil || len(all.Calls) != 3 || all.Calls[0].ID != "cl_1" {
		t.Errorf("%+v, %v", all, err)
	}
}
