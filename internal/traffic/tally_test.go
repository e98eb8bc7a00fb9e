package traffic

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func seen(id string, at time.Time) Observation {
	return Observation{
		At: at, Credential: Credential{KindAPIKey, id}, Method: "GET", Path: "/v1/orders/7", Status: 200,
		UserAgent: "curl/8.7", Source: netip.MustParsePrefix("203.0.113.0/24"), Carrier: "header:X-API-Key",
	}
}

func calls(rows []Row) (n int64) {
	for _, r := range rows {
		n += r.Calls
	}
	return n
}

func TestCallsThatLookTheSameAreOneRow(t *testing.T) {
	tally := NewTally()
	for i := range 3 {
		tally.Add(seen("ak_1", noon.Add(time.Duration(2-i)*time.Minute)), "/v1/orders/{id}", true)
	}
	rows := tally.Drain()
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	want := Row{
		Hour: noon, Credential: Credential{KindAPIKey, "ak_1"}, Method: "GET", Template: "/v1/orders/{id}", Status: 200, UserAgent: "curl/8.7",
		Source: netip.MustParsePrefix("203.0.113.0/24"), Carrier: "header:X-API-Key", Calls: 3, First: noon, Last: noon.Add(2 * time.Minute),
	}
	if rows[0] != want {
		t.Errorf("got  %+v\nwant %+v", rows[0], want)
	}
	if len(tally.Drain()) != 0 {
		t.Error("drained twice")
	}
}

func TestEveryDifferenceIsARow(t *testing.T) {
	base := seen("ak_1", noon)
	changes := map[string]func(*Observation){
		"hour":       func(o *Observation) { o.At = noon.Add(-time.Nanosecond) },
		"credential": func(o *Observation) { o.Credential.ID = "ak_2" },
		"kind":       func(o *Observation) { o.Credential.Kind = KindClient },
		"method":     func(o *Observation) { o.Method = "POST" },
		"status":     func(o *Observation) { o.Status = 201 },
		"agent":      func(o *Observation) { o.UserAgent = "curl/8.8" },
		"source":     func(o *Observation) { o.Source = netip.MustParsePrefix("198.51.100.0/24") },
		"carrier":    func(o *Observation) { o.Carrier = "query:key" },
		"outcome":    func(o *Observation) { o.Outcome = "denied:apikey_retired" },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			tally, other := NewTally(), base
			change(&other)
			tally.Add(base, "/v1/orders", true)
			tally.Add(other, "/v1/orders", true)
			if n := len(tally.Drain()); n != 2 {
				t.Errorf("%d rows", n)
			}
		})
	}
}

func TestEachCallIsCountedInItsOwnHour(t *testing.T) {
	tally := NewTally()
	tally.Add(seen("ak_1", noon.Add(-time.Millisecond)), "/x", true)
	tally.Add(seen("ak_1", noon), "/x", true)
	tally.Add(seen("ak_1", noon.Add(-time.Second)), "/x", true) // a slow call, seen late
	got := map[time.Time]int64{}
	for _, r := range tally.Drain() {
		got[r.Hour] += r.Calls
		if r.First.Before(r.Hour) || !r.Last.Before(r.Hour.Add(time.Hour)) {
			t.Errorf("row of %v holds %v to %v", r.Hour, r.First, r.Last)
		}
	}
	if got[noon] != 1 || got[noon.Add(-time.Hour)] != 2 {
		t.Errorf("calls by hour: %v", got)
	}
}

func TestStrangersCannotGrowATable(t *testing.T) {
	tally := NewTally()
	const junk = 100_000
	for i := range junk {
		o := seen("", noon.Add(time.Duration(i)*time.Millisecond))
		o.Credential = Credential{Kind: KindUnknown}
		o.UserAgent, o.Method = fmt.Sprint("agent/", i), fmt.Sprint("M", i)
		o.Source = SourceOf(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}))
		tally.Add(o, fmt.Sprintf("/made/up%d", i), false)
	}
	rows := tally.Drain()
	if len(rows) != 1 || rows[0].Calls != junk || rows[0].Template != "/**" || rows[0].Method != "*" || rows[0].UserAgent != "" || rows[0].Source.IsValid() {
		t.Fatalf("%d rows, first %+v", len(rows), rows[0])
	}
	if n := len(tally.shard(Credential{Kind: KindUnknown}).seen); n != 1 {
		t.Errorf("%d rows are remembered", n)
	}
}

func TestCallsWithoutCredentialKeepTheRouteThatIsKnown(t *testing.T) {
	tally := NewTally()
	o := seen("", noon)
	o.Credential = Credential{Kind: KindNone}
	tally.Add(o, "/v1/health", true)
	if r := tally.Drain()[0]; r.Template != "/v1/health" || r.Method != "GET" {
		t.Errorf("%+v", r)
	}
}

func TestACallerBeyondItsRowsIsStillCounted(t *testing.T) {
	tally := NewTally()
	const many = maxRowsPerCredential + 500
	for i := range many {
		tally.Add(seen("ak_loud", noon), fmt.Sprint("/v1/r", i), true)
		if i%700 == 0 {
			tally.Restore(tally.Drain()) // the limit is of the hour, not of a drain
		}
	}
	tally.Add(seen("ak_quiet", noon), "/v1/r", true)
	tally.Add(seen("ak_loud", noon), "/v1/r0", true) // a row that it has already
	rows := tally.Drain()
	per, beyond := map[string]int{}, int64(0)
	for _, r := range rows {
		per[r.Credential.ID]++
		if r.Template == "/**" {
			beyond += r.Calls
			if r.Credential.ID != "ak_loud" || r.Status != 200 || r.Method != "*" || !r.Hour.Equal(noon) {
				t.Errorf("calls beyond the limit are in %+v", r)
			}
		}
	}
	if per["ak_loud"] != maxRowsPerCredential+1 || per["ak_quiet"] != 1 || beyond != 500 || calls(rows) != many+2 {
		t.Errorf("rows %v, %d calls beyond the limit, %d in all", per, beyond, calls(rows))
	}
	for i := range 10 { // the next hour begins anew
		tally.Add(seen("ak_loud", noon.Add(time.Hour)), fmt.Sprint("/v1/r", i), true)
	}
	if n := len(tally.Drain()); n != 10 {
		t.Errorf("%d rows in the next hour", n)
	}
}

func TestWhileTheStoreIsGoneMemoryIsBoundedAndNoCallIsLost(t *testing.T) {
	tally := NewTally()
	var added int64
	const perRound = maxRowsPerHour / tallyShards / 4
	for hour := range 6 { // one shard full of credentials, hour after hour
		for i := range perRound {
			o := seen("ak_1", noon.Add(time.Duration(hour)*time.Hour))
			tally.Add(o, fmt.Sprint("/v1/r", i), true)
			added++
		}
		tally.Restore(tally.Drain())
	}
	shard := tally.shard(Credential{KindAPIKey, "ak_1"})
	if n := len(shard.rows); n > maxRowsPerHour/tallyShards+10 {
		t.Errorf("%d rows wait", n)
	}
	if n := calls(tally.Drain()); n != added {
		t.Errorf("%d calls, %d were added", n, added)
	}
}

func TestRestoreHoldsTheLimitOfWaitingRows(t *testing.T) {
	tally := NewTally()
	const limit = maxRowsPerHour / tallyShards
	rows := make([]Row, 3*limit)
	for i := range rows {
		rows[i] = Row{Hour: noon, Credential: Credential{KindAPIKey, "ak_1"}, Method: "GET", Template: fmt.Sprint("/r", i), Status: 200, Calls: 2, First: noon, Last: noon}
	}
	tally.Restore(rows)
	tally.Restore(rows)
	got := tally.Drain()
	if len(got) > limit+1 || calls(got) != 4*int64(len(rows)) {
		t.Errorf("%d rows with %d calls", len(got), calls(got))
	}
}

func TestRestoredRowsAreAddedToThoseThatCameMeanwhile(t *testing.T) {
	tally := NewTally()
	tally.Add(seen("ak_1", noon.Add(time.Minute)), "/x", true)
	rows := tally.Drain()
	tally.Add(seen("ak_1", noon.Add(2*time.Minute)), "/x", true)
	tally.Add(seen("ak_1", noon), "/x", true)
	tally.Restore(rows)
	got := tally.Drain()
	if len(got) != 1 || got[0].Calls != 3 || !got[0].First.Equal(noon) || !got[0].Last.Equal(noon.Add(2*time.Minute)) {
		t.Errorf("%+v", got)
	}
}

func TestALongFieldIsCutBetweenCharactersAndALongTemplateNotAtAll(t *testing.T) {
	tally := NewTally()
	o := seen("ak_1", noon)
	o.UserAgent = strings.Repeat("é", 200) // 400 bytes; 256 would cut none, so shift by one
	o.UserAgent = "x" + o.UserAgent
	tally.Add(o, "/"+strings.Repeat("a", 300), true)
	r := tally.Drain()[0]
	if r.UserAgent != "x"+strings.Repeat("é", 127) || r.Template != "/**" {
		t.Errorf("%d bytes of agent, template %q", len(r.UserAgent), r.Template)
	}
}

func TestNoCallIsLostWhenManyCountAndOneDrains(t *testing.T) {
	tally := NewTally()
	const workers, each = 8, 3_000
	var wg, drainer sync.WaitGroup
	stop := make(chan struct{})
	var stored int64
	drainer.Go(func() {
		for i := 0; ; i++ {
			rows := tally.Drain()
			if i%3 == 0 { // the store refuses now and then
				tally.Restore(rows)
			} else {
				stored += calls(rows)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				path := fmt.Sprintf("/v1/orders/%d", i%50)
				tally.Add(seen(fmt.Sprint("ak_", (w+i)%5), noon.Add(time.Duration(i)*time.Second)), tally.Templates.Of(path), true)
			}
		})
	}
	wg.Wait()
	close(stop)
	drainer.Wait()
	if stored += calls(tally.Drain()); stored != workers*each {
		t.Errorf("%d calls are stored, %d were made", stored, workers*each)
	}
}

func TestCountingALikeCallAllocatesNothing(t *testing.T) {
	tally, o := NewTally(), seen("ak_1", noon)
	add := func() { tally.Add(o, tally.Templates.Of(o.Path), true) }
	add()
	if n := testing.AllocsPerRun(200, add); n != 0 {
		t.Errorf("%v allocations", n)
	}
	junk := o
	junk.Credential = Credential{Kind: KindUnknown}
	addJunk := func() { tally.Add(junk, "/**", false) }
	addJunk()
	if n := testing.AllocsPerRun(200, addJunk); n != 0 {
		t.Errorf("%v allocations for an unknown apikey", n)
	}
}

func BenchmarkTallyAdd(b *testing.B) {
	tally, o := NewTally(), seen("ak_1", noon)
	b.Run("one row", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tally.Add(o, "/v1/orders/{id}", true)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				tally.Add(o, "/v1/orders/{id}", true)
			}
		})
	})
}

func TestSourceOf(t *testing.T) {
	for addr, want := range map[string]string{
		"203.0.113.77": "203.0.113.0/24", "::ffff:203.0.113.77": "203.0.113.0/24",
		"2001:db8:1:2:3::4": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48", "::1": "::/48",
	} {
		if got := SourceOf(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s is of %v, want %s", addr, got, want)
		}
	}
	if got := SourceOf(netip.Addr{}); got.IsValid() {
		t.Errorf("no address is of %v", got)
	}
}

func TestReassignedCallsLeaveNoRowBehind(t *testing.T) {
	tally := NewTally()
	o := Observation{At: time.Unix(1_800_000_000, 0), Credential: Credential{Kind: KindUnknown}, Method: "GET", Status: 200, UserAgent: "curl/8"}
	known := Credential{Kind: KindAPIKey, ID: "ak_1"}
	tally.Add(o, "/v1/orders", false)
	tally.Reassign(o, "/v1/orders", false, known)
	rows := tally.Drain()
	if len(rows) != 1 || rows[0].Credential != known || rows[0].Calls != 1 || rows[0].UserAgent != "curl/8" || rows[0].Template != "/v1/orders" {
		t.Fatalf("%+v", rows)
	}
	tally.Add(o, "/v1/orders", false)
	if rows = tally.Drain(); rows[0].Calls != 1 {
		t.Fatalf("%+v", rows)
	}
	tally.Reassign(o, "/v1/orders", false, known)
	var sum int64
	for _, row := range tally.Drain() {
		sum += row.Calls
		if row.Credential.Kind == KindUnknown && row.Calls != -1 {
			t.Errorf("what was drained before is not taken back: %+v", row)
		}
	}
	if sum != 0 {
		t.Errorf("reassigning changed the number of calls by %d", sum)
	}
}
