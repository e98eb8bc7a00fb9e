package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// Learner keeps what was learnt from the API's answers.
type Learner interface {
	// Learn makes an apikey known, or does nothing if it is. It has reached the
	// Index when Learn returns.
	Learn(ctx context.Context, l Learnt) error
	// Suspend notes that the API refuses an apikey that was learnt, or accepts it
	// again.
	Suspend(ctx context.Context, apikeyID string, suspended bool) error
}

// Learnt is an apikey that the API itself vouches for.
type Learnt struct {
	Fingerprint secret.Hash
	Last4       string
	Prefix      string
	Carrier     string
	At          time.Time // of the call that was answered with success
}

// Learning says how apikeys are learnt.
type Learning struct {
	Learner Learner // nil: apikeys are not learnt
	Probe   bool    // ask the API where callers have not shown what it refuses
	// ValidUnless are the answers by which the API says that an apikey is not
	// valid; empty: 401.
	ValidUnless []int
	// Vouched is told when the API accepts apikeys that were learnt; optional.
	Vouched *Vouched
}

// Limits of what learning may hold. Strangers choose paths and apikeys.
const (
	maxPlaces     = 4096
	maxCandidates = 256
	maxPerPlace   = 32
	maxLearnt     = 250_000 // apikeys known; no more are learnt
	// learntPerProof is how many apikeys are learnt on one proof, so that a route
	// that refuses strangers for some of its paths only cannot vouch for many.
	learntPerProof = 64

	candidateLife = 10 * time.Minute
	openFor       = 24 * time.Hour
	probeAgain    = time.Hour
)

// learner finds out which apikeys are real.
type learner struct {
	Learning
	index  *apikey.Index
	reader *apikey.Reader
	log    *slog.Logger
	wake   chan struct{}

	mu      sync.RWMutex
	places  map[place]*evidence
	waiting []candidate // for their place to be proven
	proven  []candidate // to be handed to the Learner
	doubts  []candidate // known: their places are to be asked about
	suspend map[string]bool
	pending map[secret.Hash][]heard // what came with the apikeys that are waiting or proven
	tally   *traffic.Tally
}

func newLearner(o Learning, index *apikey.Index, reader *apikey.Reader, tally *traffic.Tally, log *slog.Logger) *learner {
	if len(o.ValidUnless) == 0 {
		o.ValidUnless = []int{http.StatusUnauthorized}
	}
	if o.Vouched == nil {
		o.Vouched = new(Vouched)
	}
	return &learner{
		Learning: o, index: index, reader: reader, log: log, wake: make(chan struct{}, 1),
		places: map[place]*evidence{}, suspend: map[string]bool{}, pending: map[secret.Hash][]heard{}, tally: tally,
	}
}

// suspendKey queues a change of an apikey's suspension.
func (l *learner) suspendKey(id string, suspended bool) {
	if _, queued := l.suspend[id]; queued || len(l.suspend) < maxCandidates {
		l.suspend[id] = suspended
		l.wakeUp()
	}
}

func (l *learner) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// learnPace is the least time between two rounds: five pairs of probes a second
// at most, and one pair per place.
const learnPace = 200 * time.Millisecond

// run learns until ctx ends.
func (l *learner) run(ctx context.Context, now func() time.Time) {
	if l.Learner == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		if l.round(ctx, now()) {
			l.wakeUp()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(learnPace):
		}
	}
}

// round probes at most one place and hands over what is proven. It reports
// whether there is more to do.
func (l *learner) round(ctx context.Context, now time.Time) (more bool) {
	if n, ok := l.nextProbe(now); ok {
		l.judgeProbe(n, l.probe(ctx, n), now)
	}
	l.mu.Lock()
	proven, suspend := l.proven, l.suspend
	l.proven, l.suspend = nil, map[string]bool{}
	l.mu.Unlock()
	for i, n := range proven {
		if err := l.hand(ctx, n); err != nil {
			l.log.LogAttrs(ctx, slog.LevelError, "an apikey could not be learnt, trying again", slog.Any("error", err))
			l.mu.Lock()
			l.proven = append(l.proven, proven[i:]...)
			l.mu.Unlock()
			more = true
			break
		}
		l.settle(n)
	}
	for id, suspended := range suspend {
		if err := l.Learner.Suspend(ctx, id, suspended); err != nil {
			l.log.LogAttrs(ctx, slog.LevelError, "an apikey could not be suspended, trying again", slog.String("apikey", id), slog.Any("error", err))
			l.mu.Lock()
			l.suspendKey(id, suspended)
			l.mu.Unlock()
		}
	}
	_, probes := l.nextProbe(now)
	return more || probes
}

// hand gives one candidate to the Learner.
func (l *learner) hand(ctx context.Context, n candidate) error {
	if n.apikeyID != "" {
		return l.Learner.Suspend(ctx, n.apikeyID, false)
	}
	return l.Learner.Learn(ctx, n.Learnt)
}

// isSafe reports whether a method may be called without being asked to
// (RFC 9110 §9.2.1). OPTIONS is safe and tells nothing.
func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }
