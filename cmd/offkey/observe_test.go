package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/traffic/accesslog/logtest"
)

// TestLongLog reads a year of logs in one go: 50 million lines with
// OFFKEY_TEST_LONG=1, some thousands without. Its memory stays under 256 MiB,
// and each line counts once.
func TestLongLog(t *testing.T) {
	lines, most := 300_000, uint64(256<<20)
	if os.Getenv("OFFKEY_TEST_LONG") == "1" {
		lines = 50_000_000
	}
	var peak atomic.Uint64
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.Sys-m.HeapReleased))
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	var out, errOut bytes.Buffer
	began, cpu := time.Now(), logtest.CPU()
	code := run(t.Context(), []string{"observe", "--offline", "--json", "--log", "-", "--tail", logtest.Tail}, logtest.NewYear(lines), &out, &errOut, func(string) string { return "" })
	took, used := time.Since(began), logtest.CPU()-cpu
	close(done)
	<-watched
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errOut.String())
	}
	var doc struct {
		Lines      int     `json:"lines"`
		Attributed int     `json:"attributed"`
		Share      float64 `json:"share"`
		Malformed  int     `json:"malformed"`
		APIKeys    []struct {
			Calls int `json:"calls"`
		} `json:"apikeys"`
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, k := range doc.APIKeys {
		calls += k.Calls
	}
	if doc.Lines != lines || doc.Malformed != 0 || calls != doc.Attributed || len(doc.APIKeys) != 1000 || doc.Share < 0.89 || doc.Share > 0.91 {
		t.Errorf("%+v, %d calls", doc.Lines, calls)
	}
	if peak.Load() > most {
		t.Errorf("%d MiB of memory", peak.Load()>>20)
	}
	t.Logf("%d lines in %v, %v of a core: %.0f lines/s of a core (making them included), %d MiB at most", lines,
		took.Round(time.Millisecond), used.Round(time.Millisecond), float64(lines)/used.Seconds(), peak.Load()>>20)
}

// BenchmarkObserve is the whole command over a log on disk.
func BenchmarkObserve(b *testing.B) {
	const lines = 500_000
	name := b.TempDir() + "/access.log"
	file, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(file, logtest.NewYear(lines)); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	cpu := logtest.CPU()
	for b.Loop() {
		var errOut bytes.Buffer
		if code := run(b.Context(), []string{"observe", "--offline", "--json", "--log", name, "--tail", logtest.Tail}, nil, io.Discard, &errOut, func(string) string { return "" }); code != exitOK {
			b.Fatal(fmt.Sprint(code, errOut.String()))
		}
	}
	b.ReportMetric(float64(lines*b.N)/(logtest.CPU()-cpu).Seconds(), "lines/s-of-a-core")
}
