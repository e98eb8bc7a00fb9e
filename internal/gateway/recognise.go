package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/secret"
)

// Recognition says how strings that the Index does not have are found to be
// apikeys all the same: by hashes of them that were imported, and by asking
// whoever keeps them.
type Recognition struct {
	// Pinner keeps what was found out; nil: nothing is looked for.
	Pinner Pinner
	// Sources are asked in this order.
	Sources []Source
	// CheckPassword checks a hash of apikey.SchemePassword.
	CheckPassword func(ctx context.Context, hash, value string) (bool, error)
}

// Pinner keeps which apikey a string is. What it keeps has reached the Index
// when it returns.
type Pinner interface {
	// Pin notes which apikey it is of which only a hash was known.
	Pin(ctx context.Context, id string, fingerprint secret.Hash, last4, prefix string) error
	// Admit makes an apikey known that a source vouches for.
	Admit(ctx context.Context, k *apikey.Key) error
	// Suspend notes that its source no longer has an apikey, or has it again.
	Suspend(ctx context.Context, apikeyID string, suspended bool) error
}

// Source is a service or a table that knows apikeys.
type Source struct {
	Name string // for the log
	Kind apikey.KnownBy
	// Ask says whether value is an apikey, and whose. An error is that nobody
	// knows now.
	Ask func(ctx context.Context, value secret.Text) (Answer, error)
	// Fresh is how long a yes holds, and FreshNo a no.
	Fresh, FreshNo time.Duration
}

// Answer is what a source says about a string.
type Answer struct {
	Known                         bool
	Owner, Label, Contact, Scopes string
}

// Limits of what strangers can have looked for. A string is looked for when the
// API has accepted a call with it, or when the call would else be refused, and
// then once by whoever asks first.
const (
	maxQuestions    = 256 // waiting; beyond that strings stay unknown for now
	askers          = 4
	maxAnswers      = 20_000           // nos that are remembered
	hashesFreshNo   = 10 * time.Minute // how long none of the hashes is of a string
	askPatience     = 3 * time.Second  // how long a call waits that would else be refused
	questionLife    = 20 * time.Second // how long one string is worked on
	slowBudget      = 10 * time.Second // of which this long on slow hashes
	maxHashesAtOnce = 50_000
	sourceRest      = 2 * time.Second // after a source could not be asked
	maxStale        = 24 * time.Hour  // how long a yes counts while its source cannot be asked
	sourcesPerNet   = 1               // strings of one network looked for in a second,
	burstPerNet     = 20              // and at once
)

// recogniser looks for what strings are, beside the calls.
type recogniser struct {
	Recognition
	index  *apikey.Index
	pepper *secret.Pepper
	log    *slog.Logger
	now    func() time.Time
	began  time.Time
	nets   *limit.Limiter
	queue  chan *inquiry
	slow   chan struct{} // held by whoever checks a slow hash

	mu      sync.RWMutex
	asked   map[secret.Hash]*inquiry // waiting or worked on
	nos     [2]map[secret.Hash]no    // the younger first
	checked map[string]time.Time     // when a source last vouched, by the id of the apikey
	down    map[string]time.Time     // when a source may be asked again
	merged  map[string]bool          // learnt apikeys that were compared with the hashes
}

// no is that a string is no apikey, as far as was looked.
type no struct {
	until time.Time
	after string // the candidate at which the budget was spent, "" if none is left
}

// inquiry is a string that is looked for.
type inquiry struct {
	fingerprint secret.Hash
	value       secret.Text
	pin         *apikey.Key // it is this one, by a fast hash
	known       *apikey.Key // its source is asked again
	after       string
	done        chan struct{}
}

func newRecogniser(o Recognition, index *apikey.Index, pepper *secret.Pepper, log *slog.Logger, now func() time.Time) *recogniser {
	return &recogniser{
		Recognition: o, index: index, pepper: pepper, log: log, now: now, began: now(),
		nets: limit.New(sourcesPerNet, burstPerNet, 10_000), queue: make(chan *inquiry, maxQuestions), slow: make(chan struct{}, 1),
		asked: map[secret.Hash]*inquiry{}, checked: map[string]time.Time{}, down: map[string]time.Time{}, merged: map[string]bool{},
	}
}

// idle reports whether there is nothing to find out: the usual case.
func (r *recogniser) idle() bool {
	return r.Pinner == nil || len(r.Sources) == 0 && r.index.Hashed() == 0
}

// lookUp is the apikey that a string is, as far as can be told without waiting.
func (r *recogniser) lookUp(fingerprint secret.Hash, value secret.Text, at time.Time) *apikey.Key {
	known := r.index.Lookup(fingerprint)
	switch {
	case known == nil && r.index.Hashed() > 0:
		if known = r.index.Recognise(value.Reveal()); known != nil {
			r.enqueue(&inquiry{fingerprint: fingerprint, value: value, pin: known})
		}
	case known != nil && isLookedAside(known.KnownBy):
		return r.fresh(known, fingerprint, value, at)
	}
	return known
}

func isLookedAside(by apikey.KnownBy) bool {
	return by == apikey.KnownByHTTP || by == apikey.KnownBySQL
}

// fresh has the source of an apikey asked again when its word is old. Where that
// cannot be asked the word counts for a day: then the apikey is unknown.
func (r *recogniser) fresh(k *apikey.Key, fingerprint secret.Hash, value secret.Text, at time.Time) *apikey.Key {
	source := r.sourceOf(k)
	if source == nil {
		return k // it is not asked any more: the API and the operator judge
	}
	age := at.Sub(r.vouchedAt(k.ID))
	if age >= source.Fresh && !k.Suspended && at.After(r.downUntil(source.Name)) {
		r.enqueue(&inquiry{fingerprint: fingerprint, value: value, known: k})
	}
	if age >= max(maxStale, source.Fresh) {
		return nil
	}
	return k
}

func (r *recogniser) sourceOf(k *apikey.Key) *Source {
	for i := range r.Sources {
		if r.Sources[i].Kind == k.KnownBy {
			return &r.Sources[i]
		}
	}
	return nil
}

func (r *recogniser) vouchedAt(id string) time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if at, ok := r.checked[id]; ok {
		return at
	}
	return r.began
}

func (r *recogniser) downUntil(name string) time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.down[name]
}

// heard takes a call that the API has accepted: what came with it is worth
// looking for.
func (r *recogniser) heard(c *call) {
	if r.idle() {
		return
	}
	found, sole := c.presented.Sole()
	if !sole || len(found.Value.Reveal()) > apikey.MaxLength {
		return
	}
	q := r.question(found.Value)
	if c.apikey != nil && !(q.known != nil && q.known.Disowned()) && (c.apikey.KnownBy != apikey.KnownByUpstream || !r.isUnmerged(c.apikey.ID)) {
		return
	}
	r.consider(q, c.source.String(), c.at)
}

// question asks what a string is, or its source whether it still is that.
func (r *recogniser) question(value secret.Text) *inquiry {
	q := &inquiry{fingerprint: r.pepper.Fingerprint(value.Reveal()), value: value}
	if known := r.index.Lookup(q.fingerprint); known != nil && isLookedAside(known.KnownBy) {
		q.known = known
	}
	return q
}

// isUnmerged reports whether a learnt apikey has not been compared with the
// hashes, and notes that it is.
func (r *recogniser) isUnmerged(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.index.Hashed() == 0 || r.merged[id] {
		return false
	}
	if len(r.merged) >= maxAnswers {
		clear(r.merged)
	}
	r.merged[id] = true
	return true
}

// consider queues a string that is not known to be none, unless its network has
// had enough.
func (r *recogniser) consider(q *inquiry, network string, at time.Time) *inquiry {
	n, answered := r.answered(q.fingerprint)
	if answered && n.after == "" && at.Before(n.until) {
		return nil
	}
	q.after = n.after
	r.mu.RLock()
	same := r.asked[q.fingerprint]
	r.mu.RUnlock()
	if same != nil {
		return same
	}
	if ok, _ := r.nets.Allow(network, at); !ok {
		return nil
	}
	return r.enqueue(q)
}

func (r *recogniser) answered(fingerprint secret.Hash) (no, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, nos := range r.nos {
		if n, ok := nos[fingerprint]; ok {
			return n, true
		}
	}
	return no{}, false
}

func (r *recogniser) note(fingerprint secret.Hash, n no) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.nos[0] == nil || len(r.nos[0]) >= maxAnswers/2 {
		r.nos[0], r.nos[1] = map[secret.Hash]no{}, r.nos[0]
	}
	delete(r.nos[1], fingerprint)
	r.nos[0][fingerprint] = n
}

// enqueue has a string looked for, once for all who ask at the same time. It is
// nil when too many wait.
func (r *recogniser) enqueue(q *inquiry) *inquiry {
	if r.Pinner == nil {
		return nil
	}
	r.mu.RLock()
	same := r.asked[q.fingerprint]
	r.mu.RUnlock()
	if same != nil {
		return same
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if same := r.asked[q.fingerprint]; same != nil {
		return same
	}
	q.done = make(chan struct{})
	q.value = secret.NewText(string([]byte(q.value.Reveal()))) // not the request's buffer
	select {
	case r.queue <- q:
		r.asked[q.fingerprint] = q
		return q
	default:
		return nil
	}
}

// await waits a little for the answer to a question, nil for none. The Index has
// it then, or not.
func (r *recogniser) await(ctx context.Context, q *inquiry) {
	if q == nil {
		return
	}
	patience := time.NewTimer(askPatience)
	defer patience.Stop()
	select {
	case <-q.done:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// run answers questions until ctx ends.
func (r *recogniser) run(ctx context.Context) {
	if r.Pinner == nil {
		return
	}
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case q := <-r.queue:
					r.answer(ctx, q)
				}
			}
		})
	}
	wg.Wait()
}

// answer works on one question.
func (r *recogniser) answer(ctx context.Context, q *inquiry) {
	ctx, cancel := context.WithTimeout(ctx, questionLife)
	defer cancel()
	defer func() {
		r.mu.Lock()
		delete(r.asked, q.fingerprint)
		r.mu.Unlock()
		close(q.done)
	}()
	if err := r.find(ctx, q); err != nil && ctx.Err() == nil {
		r.log.LogAttrs(ctx, slog.LevelError, "what an apikey is could not be kept, it is looked for again", slog.Any("error", err))
	}
}

// find looks for a string by all ways there are, the cheap ones first.
func (r *recogniser) find(ctx context.Context, q *inquiry) error {
	if q.pin != nil && q.known == nil {
		return r.pin(ctx, q, q.pin)
	}
	value := q.value.Reveal()
	if q.known == nil {
		if k := r.index.Recognise(value); k != nil {
			return r.pin(ctx, q, k)
		}
	}
	holds := r.freshNo()
	if q.after == "" && (q.known != nil || r.index.Lookup(q.fingerprint) == nil) {
		found, all, err := r.askSources(ctx, q)
		if found || err != nil {
			return err
		}
		if !all {
			holds = sourceRest
		}
	}
	if q.known != nil {
		return nil
	}
	k, after := r.checkSlow(ctx, q)
	if k != nil {
		return r.pin(ctx, q, k)
	}
	r.note(q.fingerprint, no{until: r.now().Add(holds), after: after})
	return nil
}

func (r *recogniser) pin(ctx context.Context, q *inquiry, k *apikey.Key) error {
	return r.Pinner.Pin(ctx, k.ID, q.fingerprint, secret.Last4(q.value.Reveal()), secret.Prefix(q.value.Reveal()))
}

// freshNo is how long it holds that nobody knows a string.
func (r *recogniser) freshNo() time.Duration {
	fresh := hashesFreshNo
	for _, s := range r.Sources {
		fresh = min(fresh, cmp.Or(s.FreshNo, fresh))
	}
	return fresh
}

// askSources asks whoever keeps apikeys. One that cannot be asked is left alone
// for a while: whoever waits for its word is answered without it, and all is
// false.
func (r *recogniser) askSources(ctx context.Context, q *inquiry) (found, all bool, err error) {
	all = true
	for _, s := range r.Sources {
		if q.known != nil && s.Kind != q.known.KnownBy {
			continue
		}
		if r.now().Before(r.downUntil(s.Name)) {
			all = false
			continue
		}
		answer, err := s.Ask(ctx, q.value)
		if err != nil {
			all = false
			r.rest(ctx, s, err)
			continue
		}
		if q.known != nil || answer.Known {
			return true, true, r.take(ctx, q, s, answer)
		}
	}
	return false, all, nil
}

func (r *recogniser) rest(ctx context.Context, s Source, err error) {
	r.mu.Lock()
	r.down[s.Name] = r.now().Add(sourceRest)
	r.mu.Unlock()
	r.log.LogAttrs(ctx, slog.LevelWarn, "who knows apikeys could not be asked: those that it vouched for lately go on, others are unknown", slog.String("source", s.Name), slog.Any("error", err))
}

// take keeps the word of a source.
func (r *recogniser) take(ctx context.Context, q *inquiry, s Source, a Answer) error {
	id := ""
	switch {
	case q.known != nil && a.Known == q.known.Suspended:
		if err := r.Pinner.Suspend(ctx, q.known.ID, !a.Known); err != nil {
			return err
		}
		id = q.known.ID
	case q.known != nil:
		id = q.known.ID
	case r.index.Len() >= maxLearnt:
		return nil
	default:
		k := &apikey.Key{
			ID: apikey.NewID(), Fingerprint: q.fingerprint, Last4: secret.Last4(q.value.Reveal()), Prefix: secret.Prefix(q.value.Reveal()), KnownBy: s.Kind,
			Owner: a.Owner, Label: a.Label, Contact: a.Contact, Scopes: a.Scopes, Created: r.now(),
		}
		if err := r.Pinner.Admit(ctx, k); err != nil {
			return err
		}
		if known := r.index.Lookup(q.fingerprint); known != nil {
			id = known.ID
		}
	}
	if a.Known {
		r.mu.Lock()
		r.checked[id] = r.now()
		r.mu.Unlock()
	} else {
		r.note(q.fingerprint, no{until: r.now().Add(s.FreshNo)})
	}
	return nil
}

// checkSlow checks the hashes that each take a computation of their own, one at
// a time in the whole process and never for more than half of the time, so that
// calls keep the cores. Where the budget ends first, the next time goes on there.
func (r *recogniser) checkSlow(ctx context.Context, q *inquiry) (found *apikey.Key, after string) {
	candidates := r.index.Candidates(q.value.Reveal(), q.after, maxHashesAtOnce)
	if len(candidates) == 0 {
		return nil, ""
	}
	select {
	case r.slow <- struct{}{}:
		defer func() { <-r.slow }()
	case <-ctx.Done():
		return nil, q.after
	}
	for spent := time.Duration(0); len(candidates) > 0; candidates = candidates[1:] {
		if spent > slowBudget || ctx.Err() != nil {
			return nil, after
		}
		k, start := candidates[0], time.Now()
		if r.isOf(ctx, k, q.value.Reveal()) {
			return k, ""
		}
		after = k.ID
		took := time.Since(start)
		spent += took
		if took > time.Millisecond {
			select {
			case <-time.After(took):
			case <-ctx.Done():
			}
		}
	}
	return nil, ""
}

func (r *recogniser) isOf(ctx context.Context, k *apikey.Key, value string) bool {
	if k.Hash.Scheme != apikey.SchemePassword {
		return k.Hash.Matches(value, r.index.Pepper(k.Hash.Pepper))
	}
	if r.CheckPassword == nil || !k.Hash.Fits(value) {
		return false
	}
	ok, err := r.CheckPassword(ctx, k.Hash.Text, value)
	return ok && err == nil
}

// Recognise finds the apikey that a string is, for whoever trades apikeys: by
// hashes, or by asking its source anew. It waits a little, and is nil if value
// is none or nobody can tell.
func (g *Gateway) Recognise(ctx context.Context, value, network string) *apikey.Key {
	r := g.recogniser
	if r.idle() || value == "" || len(value) > apikey.MaxLength {
		return nil
	}
	q := r.question(secret.NewText(value))
	if q.pin = r.index.Recognise(value); q.pin != nil && q.known == nil {
		r.await(ctx, r.enqueue(q))
	} else {
		r.await(ctx, r.consider(q, network, g.Now()))
	}
	return r.index.Lookup(q.fingerprint)
}

// askAgain looks once more for an apikey that would be refused as unknown, and
// waits for what comes of it. It reports whether there is now another answer.
func (c *call) askAgain() bool {
	r := c.g.recogniser
	found, sole := c.presented.Sole()
	if r.idle() || !sole || len(found.Value.Reveal()) > apikey.MaxLength {
		return false
	}
	q := r.question(found.Value)
	before := r.index.Lookup(q.fingerprint)
	vouched := time.Time{}
	if before != nil {
		vouched = r.vouchedAt(before.ID)
	}
	r.await(c.r.Context(), r.consider(q, c.source.String(), c.at))
	after := r.index.Lookup(q.fingerprint)
	return after != before || after != nil && r.vouchedAt(after.ID) != vouched
}
