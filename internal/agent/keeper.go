package agent

import (
	"context"
	"sync"
	"time"
)

const (
	// renewAt is the share of a token's life after which the next is asked for.
	renewAt = 0.8
	// lifeUnknown is how long a token is used whose issuer does not say.
	lifeUnknown = time.Minute
	// firstPause and lastPause are between two questions to an issuer that does not
	// answer.
	firstPause = 100 * time.Millisecond
	lastPause  = 3 * time.Second
)

// keeper keeps one token. While it is good nobody waits: the next one is fetched
// beside the calls. Where there is none, all that need one wait for one request,
// which is made again while the issuer is away.
type keeper struct {
	client   Client
	clock    *Clock
	now      func() time.Time
	patience time.Duration

	mu      sync.Mutex
	current Token
	renew   time.Time
	expires time.Time
	flight  *flight
	quiet   time.Time // no early renewal before it
	pause   time.Duration
}

type flight struct {
	done  chan struct{}
	token Token
	err   error
}

func newKeeper(client Client, clock *Clock, now func() time.Time, patience time.Duration) *keeper {
	return &keeper{client: client, clock: clock, now: now, patience: patience}
}

// token returns one that can be used now.
func (k *keeper) token(ctx context.Context) (Token, error) {
	k.mu.Lock()
	now := k.now()
	usable := !k.current.Value.IsZero() && now.Before(k.expires)
	due := !usable || !now.Before(k.renew) && !now.Before(k.quiet)
	if due && k.flight == nil {
		k.flight = &flight{done: make(chan struct{})}
		go k.fly(k.flight, usable)
	}
	f, current := k.flight, k.current
	k.mu.Unlock()
	if usable {
		return current, nil
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return Token{}, ctx.Err()
	}
}

// fly asks for a token: once where the one before is still good, else again and
// again while it is worth it.
func (k *keeper) fly(f *flight, early bool) {
	ctx, cancel := context.WithTimeout(context.Background(), k.patience)
	defer cancel()
	var token Token
	var err error
	var asked time.Time
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		asked = k.now()
		off := k.clock.Off()
		if token, err = k.client.Token(ctx); err == nil {
			break
		}
		if k.clock.Off() != off {
			continue // what was signed was refused for the clock, which is right now
		}
		if early || !k.client.Temporary(err) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		if ctx.Err() != nil {
			break
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flight = nil
	if err == nil {
		life := token.Life
		if life <= 0 {
			life = lifeUnknown
		}
		// The life counts from the asking, so the way there and back is on the safe
		// side, and the issuer's clock plays no part.
		k.current, k.renew, k.expires = token, asked.Add(time.Duration(float64(life)*renewAt)), asked.Add(life)
		k.pause = 0
	} else if early {
		k.pause = min(max(2*k.pause, firstPause), lastPause)
		k.quiet = k.now().Add(k.pause)
	}
	f.token, f.err = token, err
	close(f.done)
}

// refused forgets a token that the API did not take, unless it was replaced
// meanwhile: many refusals of one token lead to one request.
func (k *keeper) refused(t Token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current.Value == t.Value {
		k.current = Token{}
	}
}
