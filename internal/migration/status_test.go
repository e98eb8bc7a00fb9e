package migration

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

func TestStatus(t *testing.T) {
	w := newWorld(t)
	a, b := w.learnt("a"), w.learnt("b", func(k *apikey.Key) { k.Stage, k.Until = apikey.Warn, noon.Add(2*time.Hour) })
	w.learnt("c", func(k *apikey.Key) { k.Stage = apikey.Retired })
	w.calls(
		seen(a.ID, "GET", "/v1/x", 5), seen(b.ID, "GET", "/v1/x", 2, ago(40*24*time.Hour)), seen("cl_1", "GET", "/v1/x", 7, kind(traffic.KindClient)),
		seen("", "GET", "/v1/x", 11, kind(traffic.KindNone)), seen("", "GET", "/v1/x", 13, kind(traffic.KindUnknown)),
	)
	if _, err := w.db.UpdateSettings(w.ctx, func(s *policy.Settings) error { s.StageUntil = noon.Add(3 * time.Hour); return nil }, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	s, err := w.Status(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.Stage != apikey.Observe || s.APIKeys.Total != 3 || s.APIKeys.Used30d != 1 || len(s.APIKeys.ByStage) != 3 || s.APIKeys.ByStage["warn"] != 1 || s.APIKeys.ByStage["observe"] != 1 {
		t.Errorf("%+v", s)
	}
	if s.Calls != (CallCount{APIKey: 5, Token: 7, Other: 24}) {
		t.Errorf("calls %+v", s.Calls)
	}
	if s.Forecast != nil || s.Next == nil || !s.Next.At.Equal(noon.Add(2*time.Hour)) || s.Next.Event != "the announced end of apikey "+b.ID {
		t.Errorf("forecast %v, next %+v", s.Forecast, s.Next)
	}
}

func TestForecast(t *testing.T) {
	days := func(share func(day int) (apikey, token int64)) []CallCount {
		out := make([]CallCount, 30)
		for i := range out {
			out[i].APIKey, out[i].Token = share(i)
			out[i].Other = 1000 // does not matter
		}
		return out
	}
	tests := []struct {
		name string
		days []CallCount
		want string // date, "" for none
	}{
		{"two in a hundred less each day, 42 are left", days(func(i int) (int64, int64) { return 100 - 2*int64(i), 2 * int64(i) }), "2026-12-14"},
		{"it does not fall", days(func(int) (int64, int64) { return 50, 50 }), ""},
		{"it rises", days(func(i int) (int64, int64) { return int64(i), 100 }), ""},
		{"no calls", days(func(int) (int64, int64) { return 0, 0 }), ""},
		{"six days are too few", days(func(i int) (int64, int64) {
			if i < 24 {
				return 0, 0
			}
			return int64(40 - i), int64(i)
		}), ""},
		{"done already", days(func(i int) (int64, int64) {
			if i < 15 {
				return 100, 0
			}
			return 0, 100
		}), "2026-11-23"},
		{"a day of few calls weighs little", days(func(i int) (int64, int64) {
			if i == 29 {
				return 1, 0
			}
			return 10_000 - 200*int64(i), 200 * int64(i)
		}), "2026-12-14"},
		{"gone for a month", days(func(int) (int64, int64) { return 0, 100 }), "2026-11-23"},
		{"so slow that nobody can tell", days(func(i int) (int64, int64) { return 1_000_000 - int64(i), int64(i) }), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			f := forecastOf(tt.days, noon)
			if f.At != nil {
				got = f.At.Format(time.DateOnly)
			}
			if got != tt.want || (got == "") != (f.Why != "") {
				t.Errorf("got %q, want %q: %+v", got, tt.want, f)
			}
		})
	}
}

// countingTraffic counts the rows that are read.
type countingTraffic struct {
	TrafficStore
	rows int
}

func (c *countingTraffic) Traffic(ctx context.Context, f traffic.Filter, yield func(traffic.Row) error) error {
	return c.TrafficStore.Traffic(ctx, f, func(r traffic.Row) error { c.rows++; return yield(r) })
}

func TestAStatusThatIsWatchedReadsLittleAndMissesNothing(t *testing.T) {
	w := newWorld(t)
	for h := range 24 * 31 {
		w.calls(seen("ak_1", "GET", "/v1/x", 1, ago(time.Duration(h)*time.Hour)))
	}
	store := &countingTraffic{TrafficStore: w.db}
	var b burnDown
	sum := func() (n int64) {
		t.Helper()
		days, err := b.days(w.ctx, store, w.now())
		if err != nil || len(days) != 30 {
			t.Fatalf("%d days, %v", len(days), err)
		}
		for _, d := range days {
			n += d.APIKey
		}
		return n
	}
	if n := sum(); n != 30*24 {
		t.Fatalf("%d calls", n)
	}
	store.rows = 0
	w.calls(seen("ak_1", "GET", "/v1/x", 5, ago(0)), seen("ak_1", "GET", "/v1/x", 7, ago(90*time.Minute))) // also into an hour that is over
	if n := sum(); n != 30*24+12 || store.rows > 6 {
		t.Errorf("%d calls, %d rows read", n, store.rows)
	}
	w.pass(10 * time.Hour) // hours without calls, and old ones that leave the window
	store.rows = 0
	if n := sum(); n != 30*24+12-10 || store.rows > 6 {
		t.Errorf("%d calls, %d rows read", n, store.rows)
	}
	if len(b.hours) != 30*24 {
		t.Errorf("%d hours are remembered", len(b.hours))
	}
	w.pass(90 * 24 * time.Hour)
	if n := sum(); n != 0 {
		t.Errorf("%d calls after three months", n)
	}
}

func TestABurnDownShowsEachDayByKind(t *testing.T) {
	w := newWorld(t)
	w.madeClient("cl_1", "", noon)
	w.calls(
		seen("ak_1", "GET", "/v1/x", 6, ago(24*time.Hour)), seen("ak_1", "GET", "/v1/x", 3, ago(24*time.Hour), carrier("query:key")),
		seen("cl_1", "GET", "/v1/x", 1, ago(24*time.Hour), kind(traffic.KindClient)), seen("cl_gone", "GET", "/v1/x", 10, kind(traffic.KindClient)),
		seen("ak_1", "GET", "/v1/x", 10, outcome("denied:apikey_retired")), seen("", "GET", "/v1/x", 5, kind(traffic.KindNone)),
		seen("ak_1", "GET", "/v1/x", 99, ago(10*24*time.Hour)),
	)
	b, err := w.BurnDown(w.ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"apikey:query", "apikey:header", "client:other", "client:private_key_jwt", "none"}; !slices.Equal(b.Kinds, want) {
		t.Fatalf("kinds are %v", b.Kinds)
	}
	for i, want := range []BurnDay{
		{Day: "2026-11-21", Calls: []int64{0, 0, 0, 0, 0}, Refused: []int64{0, 0, 0, 0, 0}},
		{Day: "2026-11-22", Calls: []int64{3, 6, 0, 1, 0}, Refused: []int64{0, 0, 0, 0, 0}, APIKey: 0.9},
		{Day: "2026-11-23", Calls: []int64{0, 10, 10, 0, 5}, Refused: []int64{0, 10, 0, 0, 0}, APIKey: 0.5},
	} {
		if got := b.Days[i]; got.Day != want.Day || !slices.Equal(got.Calls, want.Calls) || !slices.Equal(got.Refused, want.Refused) || got.APIKey != want.APIKey {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if b.Forecast.At != nil || b.Forecast.Why == "" {
		t.Errorf("from three days: %+v", b.Forecast)
	}
}
