package agent

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Clock is this machine's clock, put right by what issuers and APIs say the time
// is (RFC 9110 §6.6.1): what a client signs is refused when its clock is off. Only
// answers that came over a connection that they authenticate should be noted.
type Clock struct {
	system func() time.Time
	off    atomic.Int64 // to be added
}

// tolerance is by how much clocks differ without being off.
const tolerance = 5 * time.Second

// NewClock makes a Clock over the system's.
func NewClock(system func() time.Time) *Clock { return &Clock{system: system} }

// Now is the time.
func (c *Clock) Now() time.Time { return c.system().Add(c.Off()) }

// Off is by how much the system's clock is behind.
func (c *Clock) Off() time.Duration { return time.Duration(c.off.Load()) }

// note takes the Date of an answer, which was cut to the second somewhere between
// sent and received.
func (c *Clock) note(date string, sent, received time.Time) {
	said, err := http.ParseTime(date)
	if err != nil {
		return
	}
	middle := sent.Add(received.Sub(sent) / 2)
	off := said.Add(time.Second / 2).Sub(middle)
	switch change := off - c.Off(); {
	case off.Abs() <= tolerance+received.Sub(sent)/2:
		c.off.Store(0)
	case change.Abs() > tolerance:
		c.off.Store(int64(off))
	}
}

// Watch notes the time of the answers that base gets.
func (c *Clock) Watch(base http.RoundTripper) http.RoundTripper { return &watch{c, base} }

type watch struct {
	clock *Clock
	base  http.RoundTripper
}

func (w *watch) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := w.clock.system()
	resp, err := w.base.RoundTrip(req)
	if err == nil && resp.Header.Get("Age") == "" { // not from a cache
		w.clock.note(resp.Header.Get("Date"), sent, w.clock.system())
	}
	return resp, err
}
