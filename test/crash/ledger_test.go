package crash

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger remembers what was acknowledged.
type ledger struct {
	mu    sync.Mutex
	facts []fact
	fresh int // facts before this index were checked before
}

// fact is something that offkey has said it did.
type fact interface {
	// check asks whether it still holds. It is called while nothing changes.
	check(w *world) error
}

func (l *ledger) add(f fact) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts = append(l.facts, f)
}

// fewest is how many facts there are of the rarest kind.
func (l *ledger) fewest(kinds ...fact) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := map[reflect.Type]int{}
	for _, f := range l.facts {
		count[reflect.TypeOf(f)]++
	}
	fewest := len(l.facts)
	for _, kind := range kinds {
		fewest = min(fewest, count[reflect.TypeOf(kind)])
	}
	return fewest
}

// value is one thing that is changed by one worker at a time: what was
// acknowledged last, and what was asked for since without an answer.
type value struct {
	acknowledged string
	asked        string
}

// change asks for another value.
func (v *value) change(to string, ask func() error) error {
	v.asked = to
	if err := ask(); err != nil {
		return err
	}
	v.acknowledged, v.asked = to, ""
	return nil
}

// settle compares with what is there now, which from here on is certain.
func (v *value) settle(got string) error {
	if got != v.acknowledged && (v.asked == "" || got != v.asked) { // nobody asks for ""
		return fmt.Errorf("is %q: %q was acknowledged, and %q asked for", got, v.acknowledged, v.asked)
	}
	v.acknowledged, v.asked = got, ""
	return nil
}

// madeClient was created; later it may have been disabled or deleted.
type madeClient struct {
	id, secret string
	status     value // active, disabled, gone
}

func (c *madeClient) check(w *world) error {
	var now struct{ Status string }
	switch err := w.manage("GET", "/clients/"+c.id, "", nil, &now); {
	case refusedWith(err, 404):
		now.Status = "gone"
	case err != nil:
		return err
	}
	if err := c.status.settle(now.Status); err != nil {
		return fmt.Errorf("client %s: %w", c.id, err)
	}
	if now.Status != "active" && w.refusals.Add(1) > maxRefusals {
		return nil
	}
	_, err := w.token(c.id, c.secret)
	switch {
	case now.Status == "active" && err != nil:
		return fmt.Errorf("client %s with its secret: %w", c.id, err)
	case now.Status != "active" && !refusedWith(err, 400) && !refusedWith(err, 401):
		return fmt.Errorf("client %s, which is %s, asks for a token: %w", c.id, now.Status, err)
	}
	return nil
}

// maxRefusals bounds how many secrets are tried in a round that are to be
// refused: who sends too many is answered 429.
const maxRefusals = 50

// importedAPIKey was brought in; its stage was set many times.
type importedAPIKey struct {
	secret string
	stage  value // "" while it follows the stage of all
}

func (k *importedAPIKey) check(w *world) error {
	var now struct {
		ID, Stage string
		Own       bool `json:"own_stage"`
	}
	if err := w.manageJSON("POST", "/apikeys/lookup", map[string]string{"apikey_secret": k.secret}, &now); err != nil {
		return fmt.Errorf("an imported apikey: %w", err)
	}
	if !now.Own {
		now.Stage = ""
	}
	if err := k.stage.settle(now.Stage); err != nil {
		return fmt.Errorf("stage of apikey %s: %w", now.ID, err)
	}
	return nil
}

// allStage is the stage of all apikeys.
type allStage struct{ stage value }

func (a *allStage) check(w *world) error {
	var now struct{ Stage string }
	if err := w.manage("GET", "/status", "", nil, &now); err != nil {
		return err
	}
	if err := a.stage.settle(now.Stage); err != nil {
		return fmt.Errorf("stage of all: %w", err)
	}
	return nil
}

// issuedToken was given out, and may have been revoked.
type issuedToken struct {
	token string
	state value // good, revoked
}

func (i *issuedToken) check(w *world) error {
	now := "good"
	switch err := w.call(i.token); {
	case refusedWith(err, 401):
		now = "revoked"
	case err != nil:
		return err
	}
	if err := i.state.settle(now); err != nil {
		return fmt.Errorf("a token: %w", err)
	}
	return nil
}

// spentAssertion has bought a token.
type spentAssertion struct {
	assertion string
	until     time.Time
}

func (s spentAssertion) check(w *world) error {
	if time.Now().After(s.until) {
		return nil // it has expired, and is refused for that
	}
	err := w.present(s.assertion)
	if err == nil {
		return fmt.Errorf("an assertion that was spent is accepted again")
	}
	if !refusedWith(err, 401) && !refusedWith(err, 400) || !strings.Contains(err.Error(), "jti") {
		return fmt.Errorf("an assertion that was spent: %w", err)
	}
	return nil
}

// old are facts of earlier rounds, picked evenly.
const old = 200

// check asks about every new fact and some of the old ones.
func (l *ledger) check(w *world) (asked int, problems []error) {
	facts := slices.Clone(l.facts[l.fresh:])
	for i := range min(old, l.fresh) {
		facts = append(facts, l.facts[i*l.fresh/min(old, l.fresh)])
	}
	l.fresh = len(l.facts)
	w.refusals.Store(0)
	var mu sync.Mutex
	var all sync.WaitGroup
	for part := range slices.Chunk(facts, max(1, (len(facts)+7)/8)) {
		all.Go(func() {
			for _, f := range part {
				if err := f.check(w); err != nil {
					mu.Lock()
					problems = append(problems, err)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return len(facts), problems
}
