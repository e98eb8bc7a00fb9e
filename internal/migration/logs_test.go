package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/offkey/offkey/internal/traffic/accesslog"
)

// logLine is a line of the combined format, an hour before noon.
func logLine(minute int, target string, status int) string {
	at := noon.Add(-time.Hour + time.Duration(minute)*time.Second)
	return fmt.Sprintf("203.0.113.%d - - [%s] \"GET %s HTTP/1.1\" %d 512 \"-\" \"curl/8.7\"\n", minute%250, at.UTC().Format("02/Jan/2006:15:04:05 -0700"), target, status)
}

// readAll reads a log from where it was left to its end, in parts of about size
// bytes; between them stop may end it.
func (w *world) readAll(log string, size int, f LogFormat, stop func() bool) (LogPlace, error) {
	at, err := w.OpenLog(w.ctx, []byte(log[:min(len(log), LogHead)]))
	if err != nil {
		return at, err
	}
	for at.Position < int64(len(log)) && !stop() {
		from := at.Position - at.Before
		part := log[from:min(int64(len(log)), from+at.Before+int64(size))]
		next, err := w.ReadLog(w.ctx, LogBatch{LogFormat: f, Place: at, Name: "access.log"}, strings.NewReader(part))
		if err != nil || next.Position == at.Position && from+int64(len(part)) == int64(len(log)) {
			return next, err
		}
		if next.Position == at.Position {
			size *= 2
		}
		at = next
	}
	return at, nil
}

func never() bool { return false }

func (w *world) counted(kind string) (calls int64) {
	w.Helper()
	if err := w.db.Traffic(w.ctx, traffic.Filter{}, func(r traffic.Row) error {
		if r.Credential.Kind == kind {
			calls += r.Calls
		}
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	return calls
}

var combined = LogFormat{Format: accesslog.Combined}

func TestALogIsCounted(t *testing.T) {
	w := newWorld(t)
	k := w.learnt("sk_live_aaaa1111", func(k *apikey.Key) { k.Label = "orders" })
	w.learnt("sk_live_bbbb2222")
	log := logLine(0, "/v1/orders/7?api_key=sk_live_aaaa1111", 200) +
		logLine(1, "/v1/orders/8?api_key=sk_live_aaaa1111", 200) +
		logLine(2, "/v1/orders/8?api_key=sk_live_unknown9", 200) +
		logLine(3, "/v1/orders/8?api_key=[REDACTED]", 200) +
		logLine(4, "/v1/orders/8?api_key=sk_live_aaaa1111&api_key=sk_live_bbbb2222", 200) +
		logLine(5, "/v1/shops", 200) + logLine(6, "/wp-admin", 404) + "nonsense\n" +
		strings.Replace(logLine(7, "/v1/orders/9", 200), " - - ", " - orders ", 1) +
		strings.Replace(logLine(8, "/v1/orders/9", 200), " - - ", " - nobody ", 1) +
		strings.Replace(logLine(9, "x", 400), "GET x HTTP/1.1", "-", 1)
	at, err := w.readAll(log, 1<<20, combined, never)
	if err != nil {
		t.Fatal(err)
	}
	from, to := noon.UTC().Truncate(time.Second).Add(-time.Hour), noon.UTC().Truncate(time.Second).Add(-time.Hour+8*time.Second)
	want := LogReport{
		Lines: 11, Attributed: 3, NoRequest: 1, Malformed: 1, From: &from, To: &to,
		NotAttributed: map[accesslog.Reason]int64{accesslog.UnknownAPIKey: 1, accesslog.Redacted: 1, accesslog.SeveralKeys: 1, accesslog.NoCredential: 2, accesslog.UnknownName: 1},
		BadLines:      []BadLine{{8, "it is not of this format"}},
	}
	if diff := cmp.Diff(want, at.Report); diff != "" {
		t.Error(diff)
	}
	if share := at.Report.Share(); share != 3.0/9 {
		t.Errorf("share %v", share)
	}
	d, err := w.Show(w.ctx, k.ID)
	if err != nil || d.Calls != 3 || d.Routes[0].Template != "/v1/orders/{id}" {
		t.Errorf("%+v, %v", d.Item, err)
	}
	templates := map[string]int64{}
	if err := w.db.Traffic(w.ctx, traffic.Filter{}, func(r traffic.Row) error {
		if !r.Credential.Known() {
			templates[r.Template] += r.Calls
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{"/v1/orders/{id}": 4, "/v1/shops": 1, "/**": 1}, templates); diff != "" {
		t.Error(diff)
	}
}

// TestAStoppedLogCountsOnce stops reading at random places, in the middle of
// requests and between them, with the log growing meanwhile.
func TestAStoppedLogCountsOnce(t *testing.T) {
	w := newWorld(t)
	w.learnt("sk_live_aaaa1111")
	var b strings.Builder
	const lines = 4000
	for i := range lines {
		b.WriteString(logLine(i, fmt.Sprintf("/v1/r%d/orders?api_key=sk_live_aaaa1111", i%1500), 200))
	}
	log := b.String()
	draw := rand.New(rand.NewPCG(3, 4))
	size := len(log) / 3
	for range 1000 {
		grown := log[:size]
		ctx, kill := context.WithCancel(t.Context())
		w.ctx = ctx
		if draw.IntN(3) == 0 {
			time.AfterFunc(time.Duration(draw.IntN(3000))*time.Microsecond, kill)
		}
		n := draw.IntN(4)
		at, err := w.readAll(grown, 1000+draw.IntN(60_000), combined, func() bool { n--; return n < 0 })
		kill()
		w.ctx = t.Context()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if size == len(log) && err == nil && at.Position == int64(size) {
			break
		}
		size = min(len(log), size+draw.IntN(20_000))
	}
	if calls := w.counted(traffic.KindAPIKey); calls != lines {
		t.Errorf("%d calls of %d lines", calls, lines)
	}
	at, err := w.readAll(log, 1<<20, combined, never)
	if err != nil || at.Report.Lines != lines || at.Report.Attributed != lines || at.Line != lines {
		t.Errorf("%+v, %v", at, err)
	}
}

func TestTwoThatReadOneLogCountItOnce(t *testing.T) {
	w := newWorld(t)
	w.learnt("sk_live_aaaa1111")
	var b strings.Builder
	for i := range 500 {
		b.WriteString(logLine(i, "/v1/orders?api_key=sk_live_aaaa1111", 200))
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := w.readAll(b.String(), 3000, combined, never); err != nil && !errors.Is(err, traffic.ErrLogMoved) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if _, err := w.readAll(b.String(), 3000, combined, never); err != nil {
		t.Fatal(err)
	}
	if calls := w.counted(traffic.KindAPIKey); calls != 500 {
		t.Errorf("%d calls of 500 lines", calls)
	}
}

func TestLogsAreToldByWhatTheyHold(t *testing.T) {
	w := newWorld(t)
	w.learnt("sk_live_aaaa1111")
	line := func(n int) string { return logLine(n, "/v1/orders?api_key=sk_live_aaaa1111", 200) }
	read := func(log string) (LogPlace, error) { return w.readAll(log, 1<<20, combined, never) }
	first := line(1) + line(2) + line(3)
	if _, err := read(first); err != nil {
		t.Fatal(err)
	}
	expect := func(name string, calls int64) {
		t.Helper()
		if got := w.counted(traffic.KindAPIKey); got != calls {
			t.Errorf("%s: %d calls, want %d", name, got, calls)
		}
	}
	if _, err := read(first); err != nil {
		t.Fatal(err)
	}
	expect("the same again, under whatever name", 3)
	if _, err := read(first + line(4)); err != nil {
		t.Fatal(err)
	}
	expect("it has grown", 4)
	if _, err := read(line(5) + line(6)); err != nil {
		t.Fatal(err)
	}
	expect("a new log in its place", 6)
	other := line(1) + line(9)
	if _, err := read(other); err != nil {
		t.Fatal(err)
	}
	expect("another that begins with the same line", 8)
	if at, err := read(line(1)); err != nil || at.Position != int64(len(line(1))) {
		t.Fatal(at, err)
	}
	expect("one that is the beginning of both", 9)
	rewritten := first[:len(first)-20] + "x" + first[len(first)-19:] + line(4) + line(10)
	if _, err := read(rewritten); err != nil && !errors.Is(err, ErrLogChanged) {
		t.Fatal(err)
	}
	t.Run("one that was written over behind its head is refused", func(t *testing.T) {
		var long strings.Builder
		for n := range 200 {
			long.WriteString(line(1000 + n))
		}
		if _, err := read(long.String()); err != nil {
			t.Fatal(err)
		}
		calls := w.counted(traffic.KindAPIKey)
		changed := long.String()
		changed = changed[:len(changed)-10] + "y" + changed[len(changed)-9:] + line(2000)
		if _, err := read(changed); !errors.Is(err, ErrLogChanged) {
			t.Errorf("%v", err)
		}
		expect("nothing of it", calls)
	})
	t.Run("without a whole line there is nothing to read", func(t *testing.T) {
		if at, err := w.OpenLog(t.Context(), []byte("203.0.113.1 - - [")); err != nil || at.ID != "" {
			t.Errorf("%+v, %v", at, err)
		}
	})
}

func TestWhatCountsOfALog(t *testing.T) {
	w := newWorld(t)
	k := w.learnt("sk_live_aaaa1111")
	old := strings.ReplaceAll(logLine(0, "/v1/orders?api_key=sk_live_aaaa1111", 200), noon.Add(-time.Hour).UTC().Format("/2006:"), noon.AddDate(-1, 0, 0).Format("/2006:"))
	log := old
	for i := range 10 {
		log += logLine(i, "/v1/orders?api_key=sk_live_aaaa1111", 200)
	}
	f := combined
	f.Until = noon.Truncate(time.Second).Add(-time.Hour + 5*time.Second)
	at, err := w.readAll(log, 1<<20, f, never)
	if err != nil || at.Report.Outside != 5 || at.Report.TooOld != 1 || at.Report.Attributed != 6 {
		t.Errorf("%+v, %v", at.Report, err)
	}
	if calls := w.counted(traffic.KindAPIKey); calls != 5 {
		t.Errorf("%d calls are kept, want those of the last 90 days", calls)
	}
	d, err := w.Show(w.ctx, k.ID)
	if err != nil || d.FirstUsed == nil || d.FirstUsed.Year() != noon.Year()-1 {
		t.Errorf("first used %v, %v", d.FirstUsed, err)
	}
}

func TestALogThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	head := []byte(logLine(1, "/", 200))
	at, err := w.OpenLog(w.ctx, head)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ReadLog(w.ctx, LogBatch{LogFormat: LogFormat{Format: "apache"}, Place: at}, strings.NewReader("")); !errors.Is(err, ErrLogFormat) {
		t.Errorf("a format that is none: %v", err)
	}
	broken := errors.New("broken pipe")
	next, err := w.ReadLog(w.ctx, LogBatch{LogFormat: combined, Place: at}, io.MultiReader(strings.NewReader(string(head)+logLine(2, "/", 200)), failing{broken}))
	if !errors.Is(err, broken) || next.Report.Lines != 2 {
		t.Errorf("what came before the error counts: %+v, %v", next, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestNothingOfALogIsKept reads lines with secrets where they do not belong.
func TestNothingOfALogIsKept(t *testing.T) {
	w := newWorld(t)
	w.learnt("sk_live_topsecret1")
	log := logLine(0, "/v1/sk_live_topsecret1/x?api_key=sk_live_topsecret1&card=4111111111111111", 200) +
		strings.Replace(logLine(1, "/v1/x?api_key=sk_live_topsecret1", 200), "curl/8.7", "curl sk_live_topsecret1", 1) +
		"sk_live_topsecret1 is no line\n" + logLine(2, "/v1/x?api_key=sk_live_topsecret9", 200)
	at, err := w.readAll(log, 1<<20, combined, never)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	all := string(kept)
	if err := w.db.Traffic(w.ctx, traffic.Filter{}, func(r traffic.Row) error {
		all += fmt.Sprintf("%+v", r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	positions, err := w.db.LogPositions(w.ctx, at.Start)
	if err != nil {
		t.Fatal(err)
	}
	if all += fmt.Sprintf("%+v", positions); strings.Contains(all, "topsecret") || strings.Contains(all, "4111") {
		t.Errorf("kept: %s", all)
	}
}
