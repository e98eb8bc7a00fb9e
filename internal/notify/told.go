package notify

import (
	"slices"
	"sync"
	"time"
)

// Bounds of what one apikey can make us send, and of what a person is told.
const (
	mostPerDay = 20
	tellWindow = 24 * time.Hour
	// mostTold bounds the apikeys, or people, that are counted. Those that come on top are
	// told of without a limit of their own; the outbox has one for all.
	mostTold = 10_000
)

// What is said about a registration.
type verdict int

const (
	toldBefore verdict = iota // nothing: it is told
	tellIt
	tellMore // that there are more than are told one by one
	tooMany  // nothing: that is told
)

// told counts what was told about each apikey in a day that begins with its
// first message. The zero value is ready to use.
type told struct {
	mu      sync.Mutex
	apikeys map[string]*toldDay
}

type toldDay struct {
	began   time.Time
	clients []string
	more    bool
}

// next decides what is said about a client and counts it.
func (t *told) next(apikeyID, clientID string, now time.Time) verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	day := t.apikeys[apikeyID]
	if day == nil || now.Sub(day.began) >= tellWindow {
		if day = t.begin(apikeyID, now); day == nil {
			return tellIt
		}
	}
	switch {
	case slices.Contains(day.clients, clientID):
		return toldBefore
	case len(day.clients) < mostPerDay:
		day.clients = append(day.clients, clientID)
		return tellIt
	case !day.more:
		day.more = true
		return tellMore
	}
	return tooMany
}

// begin begins the day of an apikey, nil where there is no room for it.
func (t *told) begin(apikeyID string, now time.Time) *toldDay {
	delete(t.apikeys, apikeyID)
	if len(t.apikeys) >= mostTold {
		for id, day := range t.apikeys {
			if now.Sub(day.began) >= tellWindow {
				delete(t.apikeys, id)
			}
		}
		if len(t.apikeys) >= mostTold {
			return nil
		}
	}
	if t.apikeys == nil {
		t.apikeys = map[string]*toldDay{}
	}
	day := &toldDay{began: now}
	t.apikeys[apikeyID] = day
	return day
}

// forget takes back that a client was told of.
func (t *told) forget(apikeyID, clientID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	day := t.apikeys[apikeyID]
	if day == nil {
		return
	}
	if i := slices.Index(day.clients, clientID); i >= 0 {
		day.clients = slices.Delete(day.clients, i, i+1)
		return
	}
	day.more = false
}
