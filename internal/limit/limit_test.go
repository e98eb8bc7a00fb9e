package limit

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC)

func TestAllowPassesABurstThenTheRate(t *testing.T) {
	l := New(1, 3, 100)
	for i := range 3 {
		if ok, _ := l.Allow("a", start); !ok {
			t.Fatalf("event %d of the burst is refused", i+1)
		}
	}
	ok, wait := l.Allow("a", start)
	if ok || wait != time.Second {
		t.Errorf("beyond the burst: ok %v, wait %v, want a refusal for one second", ok, wait)
	}
	if ok, _ := l.Allow("b", start); !ok {
		t.Error("another name pays for the first one")
	}
	if ok, _ := l.Allow("a", start.Add(wait)); !ok {
		t.Error("refused after the wait that was named")
	}
	if ok, _ := l.Allow("a", start.Add(wait)); ok {
		t.Error("a second one after the wait passes too")
	}
	if ok, _ := l.Allow("a", start.Add(time.Hour)); !ok {
		t.Error("refused an hour later")
	}
}

func TestOnlyFailuresCount(t *testing.T) {
	l := New(1, 3, 100)
	for range 100 {
		if ok, _ := l.Check("a", start); !ok {
			t.Fatal("checking alone uses the rate up")
		}
	}
	for range 3 {
		l.Fail("a", start)
	}
	ok, wait := l.Check("a", start)
	if ok || wait != time.Second {
		t.Errorf("after three failures: ok %v, wait %v, want a refusal for one second", ok, wait)
	}
}

func TestWhatIsOwedIsBounded(t *testing.T) {
	l := New(1, 3, 100)
	for range 1000 {
		l.Fail("a", start)
	}
	if _, wait := l.Check("a", start); wait != time.Second {
		t.Errorf("after a thousand failures at once the wait is %v, want %v", wait, time.Second)
	}
}

func TestAFloodOfNamesGrowsNothing(t *testing.T) {
	const capacity = 1 << 10
	l := New(1, 3, capacity)
	l.Fail("known", start)
	l.Fail("known", start)
	for i := range 1 << 17 {
		l.Fail(strconv.Itoa(i), start)
	}
	if n := l.Len(); n > capacity {
		t.Errorf("holds %d names, capacity is %d", n, capacity)
	}
	if ok, _ := l.Check("known", start); !ok {
		t.Error("a name that was there before the flood pays for it")
	}
	if ok, _ := l.Check("newcomer", start); ok {
		t.Error("a name that finds no room is not limited at all")
	}
	if ok, _ := l.Check("newcomer", start.Add(time.Minute)); !ok {
		t.Error("room does not come back when the flood is over")
	}
}

func TestExtremeSettingsStillLimit(t *testing.T) {
	t.Run("hardly ever", func(t *testing.T) {
		l := New(1e-12, 1, 100)
		if ok, _ := l.Allow("a", start); !ok {
			t.Error("the first is refused")
		}
		if ok, wait := l.Allow("a", start.Add(time.Hour)); ok || wait < 24*time.Hour {
			t.Errorf("one more passes: %v, %v", ok, wait)
		}
	})
	t.Run("nearly always", func(t *testing.T) {
		for _, rate := range []float64{1, 1e18} {
			l := New(rate, math.MaxInt, 100)
			for range 1000 {
				l.Fail("a", start)
				if ok, _ := l.Allow("a", start); !ok {
					t.Fatalf("rate %v: refused", rate)
				}
			}
		}
	})
}

func TestAClockPutBackLocksNobodyOut(t *testing.T) {
	l := New(1, 3, 1)
	for range 5 {
		l.Fail("a", start)
		l.Fail("finds no room", start)
	}
	before := start.Add(-24 * time.Hour)
	for _, name := range []string{"a", "finds no room", "newcomer"} {
		if ok, wait := l.Check(name, before); !ok {
			t.Errorf("%s has to wait %v", name, wait)
		}
	}
	for range 3 {
		l.Fail("a", before)
	}
	if ok, _ := l.Check("a", before); ok {
		t.Error("nothing is limited after it")
	}
}

func TestParallelCallersShareOneBurst(t *testing.T) {
	l := New(1, 50, 100)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if ok, _ := l.Allow("a", start); ok {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 50 {
		t.Errorf("%d passed, want the burst of 50", passed.Load())
	}
}

func TestAHitAllocatesNothing(t *testing.T) {
	l := New(1000, 1000, 100)
	l.Allow("a", start)
	if n := testing.AllocsPerRun(100, func() { l.Allow("a", start); l.Check("a", start); l.Fail("a", start) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSettingsMustBePositive(t *testing.T) {
	for _, bad := range []struct {
		rate            float64
		burst, capacity int
	}{{0, 1, 1}, {-1, 1, 1}, {1, 0, 1}, {1, 1, 0}} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			New(bad.rate, bad.burst, bad.capacity)
		})
	}
}

func BenchmarkCheckHit(b *testing.B) {
	l := New(1, 10, 1<<16)
	for i := range 1 << 12 {
		l.Fail(strconv.Itoa(i), start)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Check("77", start)
	}
}

func TestWhatIsGivenBackCanBeTakenAgain(t *testing.T) {
	l := New(1, 3, 100)
	take := func() bool { ok, _ := l.Allow("a", start); return ok }
	for range 100 {
		if !take() {
			t.Fatal("refused although all was given back")
		}
		l.Back("a", start)
	}
	l.Back("a", start) // nothing is owed: nothing comes back
	l.Back("nobody", start)
	for i := range 3 {
		if !take() {
			t.Fatalf("event %d of the burst is refused", i+1)
		}
	}
	if take() {
		t.Error("more was given back than had been taken")
	}
}
