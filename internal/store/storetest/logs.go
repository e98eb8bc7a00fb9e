package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/traffic"
)

func aLog(offset int64) traffic.LogPosition {
	return traffic.LogPosition{
		ID: "log_1", Start: "start_1", Head: 80, Name: "access.log", Format: "combined",
		Offset: offset, Line: offset / 100, Before: 20, Mark: fmt.Sprint("mark ", offset), Report: []byte(`{"lines":1}`),
	}
}

func testLogs(t *testing.T, open Open) {
	t.Run("counts and position move together", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.AddLogTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a")}, aLog(100), 0))
		b.ok(b.AddLogTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a")}, aLog(200), 100))
		b.is(b.AddLogTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a")}, aLog(200), 100), traffic.ErrLogMoved)
		b.is(b.AddLogTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a")}, aLog(100), 0), traffic.ErrLogMoved)
		b.reopen()
		if rows := b.traffic(traffic.Filter{}); len(rows) != 1 || rows[0].Calls != 6 {
			t.Errorf("rows %+v, want one of two batches", rows)
		}
		want := aLog(200)
		want.Batches = 2
		positions, err := b.LogPositions(b.ctx(), "start_1")
		b.ok(err)
		b.same("positions", positions, []traffic.LogPosition{want})
	})
	t.Run("of batches that begin at one place exactly one counts", func(t *testing.T) {
		b := setUp(t, open)
		for from := int64(0); from < 300; from += 100 {
			var won atomic.Int32
			together(64, func(int) {
				switch err := b.AddLogTraffic(b.ctx(), []traffic.Row{aRow(0, "ak_1", "/a")}, aLog(from+100), from); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, traffic.ErrLogMoved):
					t.Error(err)
				}
			})
			if won.Load() != 1 {
				t.Fatalf("%d of 64 batches at %d count", won.Load(), from)
			}
		}
		if rows := b.traffic(traffic.Filter{}); len(rows) != 1 || rows[0].Calls != 9 {
			t.Errorf("rows %+v, want three batches", rows)
		}
	})
	t.Run("logs that begin alike are told apart", func(t *testing.T) {
		b := setUp(t, open)
		other := aLog(100)
		other.ID, other.Head = "log_2", 90
		b.ok(b.AddLogTraffic(b.ctx(), nil, aLog(100), 0))
		b.ok(b.AddLogTraffic(b.ctx(), nil, other, 0))
		positions, err := b.LogPositions(b.ctx(), "start_1")
		if b.ok(err); len(positions) != 2 {
			t.Errorf("%d positions", len(positions))
		}
		none, err := b.LogPositions(b.ctx(), "start_2")
		if b.ok(err); len(none) != 0 {
			t.Errorf("%d positions of another start", len(none))
		}
	})
	t.Run("hours that are not kept only say when apikeys were used", func(t *testing.T) {
		b := setUp(t, open)
		old := aRow(-24*365, "ak_1", "/a")
		b.ok(b.AddLogTraffic(b.ctx(), []traffic.Row{old, aRow(0, "ak_2", "/a")}, aLog(100), 0))
		if rows := b.traffic(traffic.Filter{}); len(rows) != 1 || rows[0].Credential.ID != "ak_2" {
			t.Errorf("rows %+v", rows)
		}
		uses, err := b.APIKeyUses(b.ctx(), []string{"ak_1"})
		b.ok(err)
		b.same("uses", uses, map[string]apikey.Use{"ak_1": {First: old.First, Last: old.Last, LastOK: old.Last}})
	})
	t.Run("the position in a log that nobody reads is forgotten after a year", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.AddLogTraffic(b.ctx(), nil, aLog(100), 0))
		for _, days := range []int{365, 500} {
			_, err := b.Clean(b.ctx(), noon.AddDate(0, 0, days), 1000)
			b.ok(err)
			positions, err := b.LogPositions(b.ctx(), "start_1")
			if b.ok(err); len(positions) != 1 && days == 365 || len(positions) != 0 && days == 500 {
				t.Errorf("%d positions after %d days", len(positions), days)
			}
		}
	})
}
