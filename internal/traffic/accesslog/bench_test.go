package accesslog

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/offkey/offkey/internal/traffic/accesslog/logtest"
)

// everyone knows all apikeys, by their last characters.
type everyone struct{ seen map[string]string }

func (k *everyone) ByValue(value string) (string, bool) {
	id, ok := k.seen[value]
	if !ok {
		id = "ak_" + secret.Last4(value)
		k.seen[strings.Clone(value)] = id
	}
	return id, true
}

func (k *everyone) ByName(string) (string, bool) { return "", false }

func newEveryone() *everyone { return &everyone{map[string]string{}} }

func reader(t testing.TB, carriers ...string) *apikey.Reader {
	t.Helper()
	var parsed []apikey.Carrier
	for _, c := range carriers {
		p, err := apikey.ParseCarrier(c)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, p)
	}
	r, err := apikey.NewReader(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reportLines(b *testing.B, cpu time.Duration) {
	b.ReportMetric(float64(b.N)/(logtest.CPU()-cpu).Seconds(), "lines/s-of-a-core")
}

// BenchmarkCombined is the parser alone, with the cutting into lines.
func BenchmarkCombined(b *testing.B) {
	p, err := NewParser(Combined, logtest.Tail)
	if err != nil {
		b.Fatal(err)
	}
	const kept = 20_000
	raw, err := io.ReadAll(logtest.NewYear(kept))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw) / kept))
	b.ReportAllocs()
	var e Entry
	lines := NewLines(strings.NewReader(string(raw)))
	cpu := logtest.CPU()
	for b.Loop() {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			lines = NewLines(strings.NewReader(string(raw)))
			line, err = lines.Next()
		}
		if err == nil {
			err = p.Parse(line, &e)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	reportLines(b, cpu)
}

// BenchmarkCounted is all that is done with a line but storing it: parsed,
// attributed and counted, as in one run over the log.
func BenchmarkCounted(b *testing.B) {
	p, err := NewParser(Combined, logtest.Tail)
	if err != nil {
		b.Fatal(err)
	}
	a := NewAttributor(reader(b, "header:X-API-Key", "query:api_key"), newEveryone())
	tally := traffic.NewTally()
	const kept = 200_000
	raw, err := io.ReadAll(logtest.NewYear(kept))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw) / kept))
	b.ReportAllocs()
	var e Entry
	lines, n := NewLines(strings.NewReader(string(raw))), 0
	cpu := logtest.CPU()
	for b.Loop() {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			lines = NewLines(strings.NewReader(string(raw)))
			line, err = lines.Next()
		}
		if err == nil {
			err = p.Parse(line, &e)
		}
		if err != nil {
			b.Fatal(err)
		}
		o, _, err := a.Observe(&e)
		if err != nil {
			b.Fatal(err)
		}
		tally.Add(o, tally.Templates.Of(o.Path), o.Credential.Known())
		if n++; n%2000 == 0 {
			tally.Drain()
		}
	}
	reportLines(b, cpu)
}
