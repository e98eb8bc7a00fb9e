package directory

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/text/unicode/norm"
)

// ErrBusy is a password that was not checked: too many others are before it.
var ErrBusy = errors.New("too many sign-ins at once: try again in a few seconds")

// Hasher makes and checks password hashes, as many at a time as there are cores:
// each takes a core for its time, and 19 MiB. Others wait, a bounded number for
// a bounded time; beyond that it refuses with ErrBusy, so that a flood of
// passwords takes neither all memory nor the cores from other calls for longer
// than it lasts. Safe for concurrent use.
type Hasher struct {
	slots    chan struct{}
	waiting  atomic.Int64
	most     int64
	patience time.Duration
	nobody   func() PasswordHash
}

// How long, and how many for each core, wait for their turn: at 33 ms each the
// last of them waits about as long as the patience lasts.
const (
	waitingPerCore = 64
	patience       = 3 * time.Second
)

// NewHasher makes a Hasher for this many cores; 0 is all of the process.
func NewHasher(cores int) *Hasher {
	if cores <= 0 {
		cores = max(runtime.GOMAXPROCS(0), 1)
	}
	return &Hasher{
		slots: make(chan struct{}, cores), most: int64(cores * waitingPerCore), patience: patience,
		nobody: sync.OnceValue(func() PasswordHash { return hashPassword("nobody has this password") }),
	}
}

// Hash makes a hash of a password.
func (h *Hasher) Hash(ctx context.Context, password string) (hash PasswordHash, err error) {
	err = h.inTurn(ctx, func() { hash = hashPassword(normal(password)) })
	return hash, err
}

// Matches reports whether hash is of password. Where there is no hash it does
// the work of one of ours all the same, and says no.
func (h *Hasher) Matches(ctx context.Context, hash PasswordHash, password string) (matches bool, err error) {
	err = h.inTurn(ctx, func() {
		if hash.IsZero() || len(password) > longestPassphrase {
			h.nobody().matches("a password")
			return
		}
		matches = hash.matches(normal(password))
	})
	return matches, err
}

// Outdated reports whether a hash should be made anew now that its password is
// at hand.
func (h PasswordHash) Outdated() bool { return !h.IsZero() && !h.ours }

// inTurn runs work when it is its turn.
func (h *Hasher) inTurn(ctx context.Context, work func()) error {
	select {
	case h.slots <- struct{}{}:
	default:
		if err := h.wait(ctx); err != nil {
			return err
		}
	}
	defer func() { <-h.slots }()
	work()
	return nil
}

func (h *Hasher) wait(ctx context.Context) error {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > h.most {
		return ErrBusy
	}
	tooLong := time.NewTimer(h.patience)
	defer tooLong.Stop()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-tooLong.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

// normal is a password as it is hashed: composed, so that a keyboard that writes
// é as two characters gives the same one (RFC 8265 §4.2.2).
func normal(password string) string { return norm.NFC.String(password) }
