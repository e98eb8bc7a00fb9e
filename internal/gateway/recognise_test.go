package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
)

// pins is the far side of recognition: it changes the index as the store does.
type pins struct {
	mu     sync.Mutex
	index  *apikey.Index
	pinned []string
	checks atomic.Int64 // of passwords
	asked  atomic.Int64 // of the source
}

func (p *pins) Pin(_ context.Context, id string, fingerprint secret.Hash, last4, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := *p.index.ByID(id)
	if k.Hash == nil {
		return nil
	}
	k.Hash, k.Fingerprint, k.Last4 = nil, fingerprint, last4
	if same := p.index.Lookup(fingerprint); same != nil {
		p.index.Delete(id)
		k.ID = same.ID
	}
	p.index.Put(&k)
	p.pinned = append(p.pinned, k.ID)
	return nil
}

func (p *pins) Admit(_ context.Context, k *apikey.Key) error { p.index.Put(k); return nil }

func (p *pins) Suspend(_ context.Context, id string, suspended bool) error {
	k := *p.index.ByID(id)
	k.Suspended = suspended
	p.index.Put(&k)
	return nil
}

func (p *pins) count() int { p.mu.Lock(); defer p.mu.Unlock(); return len(p.pinned) }

// recognising is a gateway that knows hashes, in front of an API that knows
// goodKey alone.
func recognising(t testing.TB, sources ...Source) (*world, *pins) {
	p := &pins{}
	api := &pickyAPI{good: []string{goodKey}}
	w := newWorld(t, func(w *world) {
		p.index = w.index
		w.options.Recognition = Recognition{Pinner: p, Sources: sources, CheckPassword: func(_ context.Context, hash, value string) (bool, error) {
			p.checks.Add(1)
			return hash == "hash of "+value, nil
		}}
	}).serve()
	w.handle(api.ServeHTTP)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.gateway.recogniser.run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	return w, p
}

func (w *world) hashed(id string, h apikey.Hashed, change func(*apikey.Key)) {
	k := &apikey.Key{ID: id, Fingerprint: h.Mark(), Hash: &h, KnownBy: apikey.KnownByImport}
	if change != nil {
		change(k)
	}
	w.index.Put(k)
}

func sha256Of(value string) apikey.Hashed {
	sum := secret.HashOf(value)
	return apikey.Hashed{Scheme: "sha256", Sum: sum[:]}
}

func slowOf(value string) apikey.Hashed {
	return apikey.Hashed{Scheme: apikey.SchemePassword, Text: "hash of " + value}
}

func (w *world) until(what string, holds func() bool) {
	w.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("never: %s", what)
		}
	}
}

// kind is what the last call was counted as.
func (w *world) kind() string {
	rows := w.rows()
	if len(rows) == 0 {
		return ""
	}
	return rows[len(rows)-1].Credential.Kind + " " + rows[len(rows)-1].Credential.ID
}

func TestAQuickHashIsKnownAtTheFirstCall(t *testing.T) {
	w, p := recognising(t)
	w.hashed("ak_1", sha256Of(goodKey), nil)
	w.hashed("ak_2", sha256Of("sk_live_blocked00001"), func(k *apikey.Key) { k.Stage = apikey.Blocked })
	if got := w.get("/v1/orders", "X-API-Key: "+goodKey); got.StatusCode != 200 {
		t.Fatal(got.StatusCode)
	}
	if kind := w.kind(); kind != "apikey ak_1" {
		t.Errorf("the first call is counted as %q", kind)
	}
	if got := w.get("/v1/orders", "X-API-Key: sk_live_blocked00001"); got.StatusCode != 401 {
		t.Errorf("one that is blocked by its hash: %d", got.StatusCode)
	}
	w.until("both are pinned", func() bool { return p.count() == 2 && w.index.Hashed() == 0 })
	if k := w.index.Lookup(w.pepper.Fingerprint(goodKey)); k == nil || k.ID != "ak_1" || k.Last4 != "1234" || k.Hash != nil {
		t.Errorf("%+v", k)
	}
}

func TestASlowHashIsCheckedAfterTheAPIHasAccepted(t *testing.T) {
	w, p := recognising(t)
	w.hashed("ak_1", slowOf(goodKey), nil)
	for i := range 50 {
		w.get("/v1/orders", fmt.Sprintf("X-API-Key: sk_live_guess%07d", i))
	}
	w.rows()
	if got := w.get("/v1/orders", "X-API-Key: "+goodKey); got.StatusCode != 200 {
		t.Fatalf("in observe the first call is answered %d", got.StatusCode)
	}
	w.until("it is pinned", func() bool { return p.count() == 1 })
	if n := p.checks.Load(); n != 1 {
		t.Errorf("%d hashes were checked: strangers, whom the API refuses, must cost none", n)
	}
	w.rows()
	w.get("/v1/orders", "X-API-Key: "+goodKey)
	if kind := w.kind(); kind != "apikey ak_1" {
		t.Errorf("the next call is counted as %q", kind)
	}
}

func TestWhatWouldBeRefusedIsLookedForFirst(t *testing.T) {
	w, p := recognising(t)
	w.setRules(policy.Ruleset{Stage: apikey.Retired})
	w.hashed("ak_1", slowOf(goodKey), func(k *apikey.Key) { k.Stage = apikey.Warn })
	if got := w.get("/v1/orders", "X-API-Key: "+goodKey); got.StatusCode != 200 {
		t.Errorf("an apikey that was given more time, by its hash, is answered %d at its first call", got.StatusCode)
	}
	for i := range 200 {
		if got := w.get("/v1/orders", fmt.Sprintf("X-API-Key: sk_live_guess%07d", i)); got.StatusCode != 401 {
			t.Fatal(got.StatusCode)
		}
	}
	w.hashed("ak_2", slowOf("sk_live_other0000001"), nil)
	for i := range 200 {
		w.get("/v1/orders", fmt.Sprintf("X-API-Key: sk_live_again%07d", i))
	}
	if n := p.checks.Load(); n > burstPerNet+5 {
		t.Errorf("one network had %d hashes checked", n)
	}
}

func TestHashesAreNarrowed(t *testing.T) {
	w, p := recognising(t)
	for i := range 100 {
		h := slowOf(fmt.Sprintf("sk_test_%010d", i))
		h.Prefix, h.End, h.Length = "sk_test_", fmt.Sprintf("%04d", i), 18
		w.hashed(fmt.Sprintf("ak_%03d", i), h, nil)
	}
	w.hashed("ak_x", slowOf(goodKey), nil)
	w.get("/v1/orders", "X-API-Key: "+goodKey)
	w.until("it is pinned", func() bool { return p.count() == 1 })
	if n := p.checks.Load(); n != 1 {
		t.Errorf("%d hashes were checked, of which one could fit", n)
	}
}

func TestALearntAPIKeyBecomesOneWithItsHash(t *testing.T) {
	w, p := recognising(t)
	w.index.Put(&apikey.Key{ID: "ak_learnt", Fingerprint: w.pepper.Fingerprint(goodKey), KnownBy: apikey.KnownByUpstream})
	w.hashed("ak_1", slowOf(goodKey), func(k *apikey.Key) { k.Owner = "Acme" })
	w.get("/v1/orders", "X-API-Key: "+goodKey)
	w.until("the two are one", func() bool { return p.count() == 1 && w.index.ByID("ak_1") == nil })
	if k := w.index.Lookup(w.pepper.Fingerprint(goodKey)); k.ID != "ak_learnt" || k.Owner != "Acme" {
		t.Errorf("%+v", k)
	}
}

// aSource knows goodKey, as long as it answers.
func aSource(p **pins, fails *atomic.Bool, knows *atomic.Bool) Source {
	return Source{Name: "test", Kind: apikey.KnownByHTTP, Fresh: time.Minute, FreshNo: 10 * time.Second, Ask: func(_ context.Context, value secret.Text) (Answer, error) {
		(*p).asked.Add(1)
		if fails.Load() {
			return Answer{}, errors.New("no answer")
		}
		return Answer{Known: knows.Load() && value.Reveal() == goodKey, Owner: "Acme"}, nil
	}}
}

func TestASourceIsAskedOnceAndAgainWhenItsWordIsOld(t *testing.T) {
	var p *pins
	var fails, knows atomic.Bool
	knows.Store(true)
	w, p := recognising(t, aSource(&p, &fails, &knows))
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On})
	call := func() int { return w.get("/v1/orders", "X-API-Key: "+goodKey).StatusCode }
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() { call() })
	}
	wg.Wait()
	if n := p.asked.Load(); n != 1 {
		t.Errorf("64 calls at once asked %d times", n)
	}
	k := w.index.Lookup(w.pepper.Fingerprint(goodKey))
	if k == nil || k.KnownBy != apikey.KnownByHTTP || k.Owner != "Acme" {
		t.Fatalf("%+v", k)
	}
	for range 5 {
		w.get("/v1/orders", "X-API-Key: sk_live_wrongwrong99")
	}
	if n := p.asked.Load(); n != 2 {
		t.Errorf("a no is not remembered: %d asked", n)
	}
	w.advance(2 * time.Minute)
	knows.Store(false)
	call()
	w.until("it is suspended", func() bool { return w.index.ByID(k.ID).Suspended })
	if got := w.get("/v1/orders", "X-API-Key: "+goodKey); got.StatusCode != 401 {
		t.Errorf("one that its source no longer has is answered %d", got.StatusCode)
	}
}

func TestASourceThatIsGone(t *testing.T) {
	var p *pins
	var fails, knows atomic.Bool
	knows.Store(true)
	w, p := recognising(t, aSource(&p, &fails, &knows))
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On})
	call := func() int { return w.get("/v1/products", "X-API-Key: "+goodKey).StatusCode }
	call()
	k := w.index.Lookup(w.pepper.Fingerprint(goodKey))
	if k == nil {
		t.Fatal("it is not known")
	}
	fails.Store(true)
	known := call()
	w.advance(time.Hour)
	if got := call(); got != known {
		t.Errorf("an hour after its source has gone it is answered %d, not %d", got, known)
	}
	w.advance(24 * time.Hour)
	if got := w.get("/v1/products", "X-API-Key: "+goodKey); got.StatusCode != 401 {
		t.Errorf("after a day it is answered %d", got.StatusCode)
	}
	w.setRules(policy.Ruleset{Stage: apikey.Warn})
	if got := call(); got != 200 {
		t.Errorf("where nothing is enforced it is answered %d", got)
	}
	fails.Store(false)
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On})
	w.advance(sourceRest + time.Second)
	if got := call(); got != known {
		t.Errorf("once its source is back it is answered %d, not %d", got, known)
	}
	if log := w.log.String(); strings.Contains(log, goodKey) || !strings.Contains(log, "could not be asked") {
		t.Error("the log has the apikey, or says nothing")
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	block := make(chan struct{})
	var asked atomic.Int64
	w, _ := recognising(t, Source{Name: "slow", Kind: apikey.KnownByHTTP, Fresh: time.Minute, FreshNo: time.Minute, Ask: func(ctx context.Context, _ secret.Text) (Answer, error) {
		asked.Add(1)
		select {
		case <-block:
		case <-ctx.Done():
		}
		return Answer{}, nil
	}})
	r := w.gateway.recogniser
	queued := 0
	for i := range 10_000 {
		value := secret.NewText(fmt.Sprintf("sk_live_flood%08d", i))
		if r.consider(&inquiry{fingerprint: w.pepper.Fingerprint(value.Reveal()), value: value}, fmt.Sprintf("203.0.%d.%d", i/250, i%250), w.now()) != nil {
			queued++
		}
	}
	if queued > maxQuestions+askers {
		t.Errorf("%d wait", queued)
	}
	close(block)
	w.until("all are answered", func() bool { r.mu.RLock(); defer r.mu.RUnlock(); return len(r.asked) == 0 })
	for i := range 3 * maxAnswers {
		r.note(w.pepper.Fingerprint(fmt.Sprint(i)), no{until: w.now()})
	}
	if n := len(r.nos[0]) + len(r.nos[1]); n > maxAnswers {
		t.Errorf("%d nos are remembered", n)
	}
}
