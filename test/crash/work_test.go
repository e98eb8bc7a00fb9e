package crash

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// workers change things until the process is gone. Each works on what it made
// itself, so that of each thing one change at most is without an answer.
type workers struct {
	*world
	ledger   *ledger
	all      *allStage
	assertor string // the client that proves itself by assertions
	revoker  *madeClient
}

// prepare makes what all rounds use.
func prepare(w *world, l *ledger) (*workers, error) {
	set, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{w.key.Public()}})
	if err != nil {
		return nil, err
	}
	var byKey struct {
		ID string `json:"client_id"`
	}
	err = w.manageJSON("POST", "/clients", map[string]any{"name": "assertor", "auth": "private_key_jwt", "jwks": json.RawMessage(set)}, &byKey)
	if err != nil {
		return nil, err
	}
	bySecret, err := makeClient(w)
	if err != nil {
		return nil, err
	}
	all := &allStage{value{acknowledged: "observe"}}
	l.add(all)
	l.add(bySecret)
	return &workers{world: w, ledger: l, all: all, assertor: byKey.ID, revoker: bySecret}, nil
}

func makeClient(w *world) (*madeClient, error) {
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	err := w.manageJSON("POST", "/clients", map[string]any{"name": "made", "auth": "client_secret_basic", "scopes": []string{"read:orders"}}, &made)
	return &madeClient{id: made.ID, secret: made.Secret, status: value{acknowledged: "active"}}, err
}

// run starts the workers. They end when the connection does; what else goes
// wrong is an error of the test.
func (w *workers) run(t *testing.T) (wait func()) {
	var all sync.WaitGroup
	for _, work := range []func(step int) error{w.clients, w.clients, w.imports(), w.imports(), w.stages, w.revocations, w.revocations, w.assertions, w.assertions, w.assertions} {
		all.Go(func() {
			for step := 0; ; step++ {
				err := work(step)
				if errors.Is(err, errKilled) {
					return
				}
				if err != nil {
					t.Errorf("under load: %v", err)
					return
				}
			}
		})
	}
	return all.Wait
}

// clients creates a client, and disables or deletes every third or fourth.
func (w *workers) clients(step int) error {
	c, err := makeClient(w.world)
	if err != nil {
		return err
	}
	w.ledger.add(c)
	switch {
	case step%3 == 1:
		return c.status.change("disabled", func() error { return w.manageJSON("POST", "/clients/"+c.id+"/disable", struct{}{}, nil) })
	case step%4 == 2:
		return c.status.change("gone", func() error { return w.manage("DELETE", "/clients/"+c.id, "", nil, nil) })
	}
	return nil
}

// imports brings in apikeys, and moves the stage of the last one now and then.
func (w *workers) imports() func(int) error {
	stages := []string{"warn", "upgrade_only", "retired", "observe"}
	return func(step int) error {
		k := &importedAPIKey{secret: "apikey-" + rand.Text()}
		label := "l-" + rand.Text()
		if err := w.manage("POST", "/apikeys/import", "text/csv", fmt.Appendf(nil, "key,label\n%s,%s\n", k.secret, label), nil); err != nil {
			return err
		}
		w.ledger.add(k)
		for i := range step % 4 {
			to := stages[(step+i)%len(stages)]
			if err := k.stage.change(to, func() error {
				return w.manageJSON("POST", "/stage", map[string]any{"stage": to, "apikeys": []string{label}}, nil)
			}); err != nil {
				return err
			}
		}
		return nil
	}
}

// stages moves all apikeys to and fro.
func (w *workers) stages(step int) error {
	to := []string{"warn", "observe"}[step%2]
	return w.all.stage.change(to, func() error {
		return w.manageJSON("POST", "/stage", map[string]any{"stage": to, "all": true}, nil)
	})
}

// revocations gets a token and revokes every other one.
func (w *workers) revocations(step int) error {
	token, err := w.token(w.revoker.id, w.revoker.secret)
	if err != nil {
		return err
	}
	i := &issuedToken{token: token, state: value{acknowledged: "good"}}
	w.ledger.add(i)
	if step%2 == 0 {
		return nil
	}
	if err := i.state.change("revoked", func() error {
		return w.post("/revoke", w.revoker.id, w.revoker.secret, url.Values{"token": {token}}, nil)
	}); err != nil {
		return err
	}
	switch err := w.call(token); {
	case err == nil:
		return errors.New("a token that was revoked is accepted")
	case refusedWith(err, 401):
		return nil
	default:
		return err
	}
}

// assertions spends one, and tries every tenth again at once.
func (w *workers) assertions(step int) error {
	assertion, err := w.assertion(w.assertor, rand.Text())
	if err != nil {
		return err
	}
	if err := w.present(assertion); err != nil {
		return err
	}
	spent := spentAssertion{assertion, time.Now().Add(3 * time.Minute)}
	w.ledger.add(spent)
	if step%10 == 0 {
		return spent.check(w.world)
	}
	return nil
}
