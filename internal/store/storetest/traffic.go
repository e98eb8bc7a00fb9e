package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/traffic"
)

// aRow is a row of an hour after noon.
func aRow(hours int, apikeyID, template string) traffic.Row {
	hour := noon.UTC().Truncate(time.Hour).Add(time.Duration(hours) * time.Hour)
	return traffic.Row{
		Hour: hour, Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: apikeyID}, Method: "GET", Template: template, Status: 200,
		UserAgent: "curl/8.5", Source: netip.MustParsePrefix("203.0.113.0/24"), Carrier: "header:X-API-Key", Outcome: "shadow:insufficient_scope",
		Calls: 3, First: hour.Add(time.Minute), Last: hour.Add(2 * time.Minute),
	}
}

// traffic reads rows, in a fixed order within their hours.
func (b *trial) traffic(f traffic.Filter) []traffic.Row {
	b.t.Helper()
	rows := []traffic.Row{}
	b.ok(b.Traffic(b.ctx(), f, func(r traffic.Row) error {
		if len(rows) > 0 && r.Hour.Before(rows[len(rows)-1].Hour) {
			b.t.Fatalf("%v comes after %v", r.Hour, rows[len(rows)-1].Hour)
		}
		rows = append(rows, r)
		return nil
	}))
	inOrder(rows)
	return rows
}

func inOrder(rows []traffic.Row) {
	slices.SortFunc(rows, func(x, y traffic.Row) int { return strings.Compare(order(x), order(y)) })
}

// order is what tells rows apart.
func order(r traffic.Row) string {
	return strings.Join([]string{
		r.Hour.Format(time.RFC3339), r.Credential.Kind, r.Credential.ID, r.Method, r.Template, strconv.Itoa(r.Status), r.UserAgent, r.Source.String(), r.Carrier, r.Outcome,
	}, "|")
}

func testTraffic(t *testing.T, open Open) {
	t.Run("a row reads back as it was written", func(t *testing.T) {
		b := setUp(t, open)
		v6 := aRow(0, "ak_1", "/a")
		v6.Source = netip.MustParsePrefix("2001:db8::/48")
		nobody := traffic.Row{Hour: v6.Hour, Credential: traffic.Credential{Kind: traffic.KindNone}, Method: "POST", Template: "/**", Status: 401, Calls: 1, First: v6.First, Last: v6.Last}
		blank := traffic.Row{Hour: v6.Hour, Calls: 7, First: v6.First, Last: v6.Last}
		rows := []traffic.Row{aRow(0, "ak_1", "/a"), v6, nobody, blank}
		b.ok(b.AddTraffic(b.ctx(), rows))
		got := b.traffic(traffic.Filter{})
		inOrder(rows)
		b.same("rows", got, rows)
	})
	t.Run("days are counted by kind of credential, and outlive their rows", func(t *testing.T) {
		b := setUp(t, open)
		c := plainClient("cl_1")
		b.haveClients(c)
		client, gone, denied, basic := aRow(0, "cl_1", "/a"), aRow(0, "cl_9", "/a"), aRow(1, "ak_1", "/b"), aRow(25, "ak_1", "/a")
		client.Credential.Kind, gone.Credential.Kind = traffic.KindClient, traffic.KindClient
		denied.Outcome, basic.Carrier = "denied:apikey_retired", "basic"
		for range 2 {
			b.ok(b.AddTraffic(b.ctx(), []traffic.Row{client, gone, denied, basic}))
		}
		day := client.Hour.Truncate(24 * time.Hour)
		want := []traffic.Day{
			{Day: day, Kind: "apikey:header", Calls: 2 * denied.Calls, Refused: 2 * denied.Calls},
			{Day: day, Kind: "client:client_secret_basic", Calls: 2 * client.Calls},
			{Day: day, Kind: "client:other", Calls: 2 * gone.Calls},
			{Day: basic.Hour.Truncate(24 * time.Hour), Kind: "apikey:basic", Calls: 2 * basic.Calls},
		}
		days, err := b.DailyCalls(b.ctx(), time.Time{}, time.Time{})
		b.ok(err)
		b.same("days", days, want)
		_, err = b.PruneTraffic(b.ctx(), basic.Hour.Add(48*time.Hour), 1000)
		b.ok(err)
		days, err = b.DailyCalls(b.ctx(), day, day.Add(24*time.Hour))
		b.ok(err)
		b.same("of the first day, without rows", days, want[:3])
		_, err = b.Clean(b.ctx(), day.Add(402*24*time.Hour), 1000)
		b.ok(err)
		days, err = b.DailyCalls(b.ctx(), time.Time{}, time.Time{})
		b.ok(err)
		b.same("after 400 days", len(days), 0)
	})
	t.Run("rows that look the same are added up", func(t *testing.T) {
		b := setUp(t, open)
		first, second, third := aRow(0, "ak_1", "/a"), aRow(0, "ak_1", "/a"), aRow(0, "ak_1", "/a")
		second.First, second.Last, second.Calls = second.First.Add(-time.Second), second.Last.Add(-time.Second), 10
		third.First, third.Last, third.Calls = third.First.Add(time.Second), third.Last.Add(time.Second), 100
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{first}))
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{second, third})) // in one call too
		want := first
		want.Calls, want.First, want.Last = 113, second.First, third.Last
		b.same("rows", b.traffic(traffic.Filter{}), []traffic.Row{want})
	})
	t.Run("every field tells rows apart", func(t *testing.T) {
		b := setUp(t, open)
		rows := []traffic.Row{aRow(0, "ak_1", "/a")}
		for _, change := range []func(*traffic.Row){
			func(r *traffic.Row) { r.Hour = r.Hour.Add(time.Hour) },
			func(r *traffic.Row) { r.Credential.Kind = traffic.KindClient },
			func(r *traffic.Row) { r.Credential.ID = "ak_2" },
			func(r *traffic.Row) { r.Method = "POST" },
			func(r *traffic.Row) { r.Template = "/b" },
			func(r *traffic.Row) { r.Status = 201 },
			func(r *traffic.Row) { r.UserAgent = "wget" },
			func(r *traffic.Row) { r.Source = netip.Prefix{} },
			func(r *traffic.Row) { r.Carrier = "query:api_key" },
			func(r *traffic.Row) { r.Outcome = "" },
		} {
			r := aRow(0, "ak_1", "/a")
			change(&r)
			rows = append(rows, r)
		}
		for range 2 {
			b.ok(b.AddTraffic(b.ctx(), rows))
		}
		got := b.traffic(traffic.Filter{})
		if len(got) != len(rows) {
			t.Fatalf("%d rows, want %d", len(got), len(rows))
		}
		for _, r := range got {
			if r.Calls != 6 {
				t.Errorf("%d calls of %+v", r.Calls, r)
			}
		}
	})
	t.Run("hours come in order, filtered by time and credential", func(t *testing.T) {
		b := setUp(t, open)
		for _, hour := range []int{5, 1, 3, 4, 2, 40} {
			b.ok(b.AddTraffic(b.ctx(), []traffic.Row{aRow(hour, "ak_1", "/a"), aRow(hour, "ak_2", "/a")}))
		}
		hours := func(f traffic.Filter) (got []int) {
			t.Helper()
			for _, r := range b.traffic(f) {
				got = append(got, int(r.Hour.Sub(noon.UTC().Truncate(time.Hour))/time.Hour))
			}
			return got
		}
		at := func(hour int) time.Time { return aRow(hour, "", "").Hour }
		one := &traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_1"}
		b.same("all", hours(traffic.Filter{}), []int{1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 40, 40})
		b.same("of one", hours(traffic.Filter{Credential: one}), []int{1, 2, 3, 4, 5, 40})
		b.same("from", hours(traffic.Filter{Credential: one, From: at(3)}), []int{3, 4, 5, 40})
		b.same("from within an hour", hours(traffic.Filter{Credential: one, From: at(3).Add(time.Second)}), []int{4, 5, 40})
		b.same("to", hours(traffic.Filter{Credential: one, To: at(3)}), []int{1, 2})
		b.same("between", hours(traffic.Filter{Credential: one, From: at(2), To: at(5)}), []int{2, 3, 4})
		b.same("of nobody", hours(traffic.Filter{Credential: &traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_3"}}), []int(nil))
		b.same("of the other kind", hours(traffic.Filter{Credential: &traffic.Credential{Kind: traffic.KindClient, ID: "ak_1"}}), []int(nil))
	})
	t.Run("an hour of many rows is read whole", func(t *testing.T) {
		b := setUp(t, open)
		var rows []traffic.Row
		for i := range 2500 {
			rows = append(rows, aRow(i%2, fmt.Sprint("ak_", i%7), fmt.Sprint("/", i)))
		}
		b.ok(b.AddTraffic(b.ctx(), rows))
		inOrder(rows)
		b.same("rows", b.traffic(traffic.Filter{}), rows)
		mine := b.traffic(traffic.Filter{Credential: &traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_3"}})
		b.same("of one", mine, slices.DeleteFunc(slices.Clone(rows), func(r traffic.Row) bool { return r.Credential.ID != "ak_3" }))
	})
	t.Run("text that is none is kept readable, and bounded", func(t *testing.T) {
		b := setUp(t, open)
		r := aRow(0, "ak_1", "/\xff/a\x00")
		r.UserAgent = strings.Repeat("x", 5000)
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{r}))
		got := b.traffic(traffic.Filter{})[0]
		if got.Template != "/?/a?" || len(got.UserAgent) < 100 || len(got.UserAgent) > 1000 {
			t.Errorf("template %q, agent of %d", got.Template, len(got.UserAgent))
		}
	})
	t.Run("an error of the reader ends the reading, which may use the store", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a"), aRow(1, "ak_1", "/a"), aRow(2, "ak_1", "/a")}))
		mine, n := errors.New("mine"), 0
		err := b.Traffic(b.ctx(), traffic.Filter{}, func(traffic.Row) error {
			n++
			b.haveClients(plainClient(fmt.Sprint("cl_", n)))
			if _, err := b.Client(b.ctx(), fmt.Sprint("cl_", n)); err != nil {
				return err
			}
			if n == 2 {
				return mine
			}
			return nil
		})
		if b.is(err, mine); n != 2 {
			t.Errorf("read %d", n)
		}
	})
	t.Run("use of apikeys is known without reading rows", func(t *testing.T) {
		b := setUp(t, open)
		ok, later, failed := aRow(5, "ak_1", "/a"), aRow(7, "ak_1", "/b"), aRow(9, "ak_1", "/a")
		failed.Status, failed.Browser, ok.Plain = 403, true, true
		never := aRow(3, "ak_2", "/a")
		never.Status = 401
		ofClient := aRow(11, "ak_1", "/a")
		ofClient.Credential.Kind = traffic.KindClient
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{later, ok, ofClient}))
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{failed, never}))
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{ok}))
		first, last, lastOK, err := b.APIKeyUse(b.ctx(), "ak_1")
		b.ok(err)
		b.same("use", apikey.Use{First: first, Last: last, LastOK: lastOK}, apikey.Use{First: ok.First, Last: failed.Last, LastOK: later.Last})
		uses, err := b.APIKeyUses(b.ctx(), []string{"ak_1", "ak_2", "ak_3"})
		b.ok(err)
		b.same("uses", uses, map[string]apikey.Use{
			"ak_1": {First: ok.First, Last: failed.Last, LastOK: later.Last, LastBrowser: failed.Last, LastPlain: ok.Last, Calls: 2*ok.Calls + later.Calls + failed.Calls}, "ak_2": {First: never.First, Last: never.Last, Calls: never.Calls},
		})
		first, last, lastOK, err = b.APIKeyUse(b.ctx(), "ak_3")
		if b.ok(err); !first.IsZero() || !last.IsZero() || !lastOK.IsZero() {
			t.Errorf("use of one that was never used: %v %v %v", first, last, lastOK)
		}
	})
	t.Run("pruning takes the oldest, in batches, and leaves counting right", func(t *testing.T) {
		b := setUp(t, open)
		var rows []traffic.Row
		for hour := range 4 {
			for i := range 5 {
				r := aRow(hour, "ak_1", fmt.Sprint("/", i))
				r.UserAgent = fmt.Sprint("agent of hour ", hour)
				rows = append(rows, r)
			}
		}
		b.ok(b.AddTraffic(b.ctx(), rows))
		floor := func() time.Time {
			t.Helper()
			at, err := b.TrafficFloor(b.ctx())
			b.ok(err)
			return at
		}
		b.same("floor", floor(), rows[0].Hour)
		var batches []int
		for {
			n, err := b.PruneTraffic(b.ctx(), rows[10].Hour, 4)
			b.ok(err)
			if batches = append(batches, n); n < 4 {
				break
			}
		}
		b.same("batches", batches, []int{4, 4, 2})
		b.same("floor", floor(), rows[10].Hour)
		b.same("left", b.traffic(traffic.Filter{}), rows[10:])
		b.ok(b.AddTraffic(b.ctx(), rows)) // words that were forgotten are learnt again
		for i := range rows {
			if i >= 10 {
				rows[i].Calls *= 2
			}
		}
		b.same("added again", b.traffic(traffic.Filter{}), rows)
		_, err := b.PruneTraffic(b.ctx(), noon.AddDate(1, 0, 0), 1000)
		b.ok(err)
		b.same("empty", []any{floor(), b.traffic(traffic.Filter{})}, []any{time.Time{}, []traffic.Row{}})
		_, last, _, err := b.APIKeyUse(b.ctx(), "ak_1")
		b.ok(err)
		b.same("use stays known", last, rows[19].Last)
	})
	t.Run("counting is no change: nothing is audited and nobody told", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.AddTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a")}))
		b.ok(b.AddTraffic(b.ctx(), nil))
		if len(b.entries())+len(b.changes()) != 0 {
			t.Error("it was")
		}
	})
	t.Run("counts that arrive together are all there", func(t *testing.T) {
		b := setUp(t, open)
		together(20, func(int) {
			for range 5 {
				if err := b.AddTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a"), aRow(1, "ak_2", "/b")}); err != nil {
					t.Error(err)
				}
			}
		})
		for _, r := range b.traffic(traffic.Filter{}) {
			if r.Calls != 300 {
				t.Errorf("%d calls, want 300", r.Calls)
			}
		}
	})
}
