package migration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/offkey/offkey/internal/traffic/accesslog"
)

// hostile makes up everything that a stranger can: paths of words that look like
// an API's, apikeys, User-Agents, addresses, methods.
type hostile struct{ *rand.Rand }

func (h hostile) word() string {
	var b [12]byte
	drawn := h.Uint64()
	for i := range b {
		b[i] = 'a' + byte(drawn%26)
		drawn /= 26
	}
	return string(b[:])
}

func (h hostile) call(at time.Time, id string) traffic.Observation {
	return traffic.Observation{
		At: at, Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: id}, Method: []string{"GET", "POST", "PUT", "X" + strings.ToUpper(h.word())}[h.IntN(4)],
		Path:   "/v1/" + h.word() + "/" + h.word() + "/" + strings.Repeat(h.word(), h.IntN(8)),
		Status: 200 + h.IntN(300), UserAgent: h.word() + "/" + h.word() + " " + strings.Repeat(h.word(), h.IntN(30)),
		Source:  netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + h.IntN(200)), byte(h.IntN(256)), byte(h.IntN(256)), 0}), 24),
		Carrier: "header:X-API-Key",
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAHostileStreamStaysWithinItsBound feeds each thing that remembers traffic
// with calls of which no two are alike, from a thousand apikeys or from new ones
// all along. What it holds is measured on the way: it stays under its bound, and
// the last third adds little.
func TestAHostileStreamStaysWithinItsBound(t *testing.T) {
	const most = 160 << 20
	pepper, err := secret.NewPepper(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	var templates traffic.Templates
	tally, recovery := traffic.NewTally(), traffic.NewRecovery()
	inventory, scattered := NewLogInventory(pepper), NewLogInventory(pepper)
	infer := newInferFold(newOperationTable(Design{}), InferOptions{})
	h := hostile{rand.New(rand.NewPCG(5, 6))}
	known := func() string { return fmt.Sprint("ak_", h.IntN(1000)) }
	for _, tt := range []struct {
		name  string
		calls int
		most  uint64
		count func(i int)
		keep  any
	}{
		{"templates", 60_000, 8 << 20, func(int) { templates.Of(h.call(noon, "").Path) }, &templates},
		{"an hour of traffic of ten apikeys, never stored", 90_000, 32 << 20, func(i int) { o := h.call(noon, fmt.Sprint("ak_", i%10)); tally.Add(o, templates.Of(o.Path), true) }, tally},
		{"recovered templates", 90_000, 64 << 20, func(int) { o := h.call(noon, known()); recovery.Add(o.Method, o.Path, o.Credential.ID, 1) }, recovery},
		{"the inventory of a thousand apikeys", 180_000, most, func(i int) {
			o := h.call(noon.Add(time.Duration(i)*time.Minute), known())
			inventory.Add(&o, templates.Of(o.Path))
		}, inventory},
		{"the inventory of apikeys made up", 180_000, most, func(i int) {
			o := h.call(noon.Add(time.Duration(i)*time.Minute), h.word())
			scattered.Add(&o, templates.Of(o.Path))
		}, scattered},
		{"scopes of apikeys made up", 60_000, most, func(i int) { infer.add(callOf(h.call(noon.Add(time.Duration(i)*time.Minute), h.word()))) }, infer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := heap()
			var at [3]uint64
			for third := range 3 {
				for i := range tt.calls / 3 {
					tt.count(third*tt.calls/3 + i)
				}
				at[third] = max(heap(), before) - before
			}
			t.Logf("%d MiB after %d calls, %d after %d, %d after %d (bound %d)", at[0]>>20, tt.calls/3, at[1]>>20, 2*tt.calls/3, at[2]>>20, tt.calls, tt.most>>20)
			if at[2] > tt.most {
				t.Errorf("%d MiB, the bound is %d", at[2]>>20, tt.most>>20)
			}
			if at[2] > at[1]+at[1]/4+(4<<20) {
				t.Errorf("it grows on: %d MiB, then %d", at[1]>>20, at[2]>>20)
			}
			runtime.KeepAlive(tt.keep)
		})
	}
}

// TestAHostileInventoryIsListed tells the callers of such apikeys apart, which
// must not take long for anything that one can make up.
func TestAHostileInventoryIsListed(t *testing.T) {
	pepper, err := secret.NewPepper(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	v := NewLogInventory(pepper)
	h := hostile{rand.New(rand.NewPCG(9, 10))}
	for i := range 30_000 {
		o := h.call(noon.Add(time.Duration(i)*time.Minute), fmt.Sprint("ak_", i%5))
		o.UserAgent = "curl/" + fmt.Sprint(i/5%400) // one program, whatever its version
		v.Add(&o, fmt.Sprint("/v1/r", h.IntN(600)))
	}
	began := time.Now()
	if items := v.Items(); len(items) != 5 {
		t.Errorf("%d items", len(items))
	}
	t.Logf("five apikeys took %v", time.Since(began))
}

// TestAHostileLogStaysWithinItsBound reads such calls from a log: nothing of its
// text may be held by what is counted.
func TestAHostileLogStaysWithinItsBound(t *testing.T) {
	w := newWorld(t)
	h := hostile{rand.New(rand.NewPCG(7, 8))}
	line := func() string {
		o := h.call(noon.Add(-time.Hour), "")
		return fmt.Sprintf("203.0.113.7 - %s [%s] \"GET %s?api_key=%s HTTP/1.1\" %d 512 \"-\" \"%s\"\n", h.word(), o.At.UTC().Format("02/Jan/2006:15:04:05 -0700"), o.Path, h.word(), o.Status, o.UserAgent)
	}
	head := line()
	place, err := w.OpenLog(w.ctx, []byte(head))
	if err != nil {
		t.Fatal(err)
	}
	var at []uint64
	var lastOf string // what the batch before ended with
	before := heap()
	for batch := range 6 {
		var b strings.Builder
		if batch == 0 {
			b.WriteString(head)
		} else {
			b.WriteString(lastOf)
		}
		for range 5_000 {
			b.WriteString(line())
		}
		text := b.String()
		next, err := w.ReadLog(context.Background(), LogBatch{LogFormat: LogFormat{Format: accesslog.Combined}, Place: place}, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		place, lastOf = next, strings.Clone(text[len(text)-int(next.Before):])
		at = append(at, max(heap(), before)-before)
	}
	t.Logf("MiB after each 5000 lines: %d", mebibytes(at))
	if last := at[len(at)-1]; last > 64<<20 || last > at[2]+(8<<20) {
		t.Errorf("it grows: %d MiB", mebibytes(at))
	}
	rows := 0
	if err := w.db.Traffic(w.ctx, traffic.Filter{}, func(traffic.Row) error { rows++; return nil }); err != nil || rows > 3*maxLogTemplates {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func mebibytes(bytes []uint64) (out []uint64) {
	for _, n := range bytes {
		out = append(out, n>>20)
	}
	return out
}
