package migration

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/offkey/offkey/internal/traffic/accesslog"
	"github.com/offkey/offkey/internal/traffic/accesslog/logtest"
)

// BenchmarkReadLog is a part of a year of 50 million lines read into a running
// offkey: of the last quarter, which is kept by the hour, and of what is older,
// of which first and last uses are.
func BenchmarkReadLog(b *testing.B) {
	b.Run("kept", func(b *testing.B) { benchmarkReadLog(b, noon.AddDate(0, 0, -20)) })
	b.Run("too old", func(b *testing.B) { benchmarkReadLog(b, noon.AddDate(0, 0, -200)) })
}

func benchmarkReadLog(b *testing.B, from time.Time) {
	const year, lines = 50_000_000, 200_000
	var text strings.Builder
	in := bufio.NewScanner(logtest.NewYear(year).From(from))
	for range lines {
		in.Scan()
		text.Write(in.Bytes())
		text.WriteByte('\n')
	}
	log, cpu, rows := text.String(), time.Duration(0), 0
	for b.Loop() {
		b.StopTimer()
		w := newWorld(b)
		var keys []*apikey.Key
		for i := range 1000 {
			value := fmt.Sprint("sk_live_4eC39HqLyjWDarjtT1zd", 1000+i)
			keys = append(keys, &apikey.Key{ID: apikey.NewID(), Fingerprint: w.Pepper.Fingerprint(value), Last4: secret.Last4(value), KnownBy: apikey.KnownByImport, Created: noon})
		}
		if _, err := w.db.ImportAPIKeys(w.ctx, keys, audit.Event{Actor: "test", Action: "test"}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		before := logtest.CPU()
		at, err := w.readAll(log, 4<<20, LogFormat{Format: accesslog.Combined, Tail: logtest.Tail}, never)
		if err != nil || at.Report.Lines != lines {
			b.Fatal(at.Report.Lines, err)
		}
		cpu += logtest.CPU() - before
		b.StopTimer()
		if err := w.db.Traffic(w.ctx, traffic.Filter{}, func(traffic.Row) error { rows++; return nil }); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(lines*b.N)/cpu.Seconds(), "lines/s-of-a-core")
	b.ReportMetric(float64(rows)/float64(b.N), "rows")
}
