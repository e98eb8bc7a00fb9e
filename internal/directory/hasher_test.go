package directory

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestHasherChecksPasswords(t *testing.T) {
	h := NewHasher(1)
	hash, err := h.Hash(t.Context(), "cafe\u0301 corre\u0301") // é of two characters
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, password string
		hash           PasswordHash
		want           bool
	}{
		{"the same", "cafe\u0301 corre\u0301", hash, true},
		{"the same, composed", "caf\u00e9 corr\u00e9", hash, true},
		{"another", "cafe corre", hash, false},
		{"nobody's", "a password", PasswordHash{}, false},
		{"nobody's, the one that stands for none", "nobody has this password", PasswordHash{}, false},
		{"a long one", string(make([]byte, longestPassphrase+1)), hash, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, err := h.Matches(t.Context(), tc.hash, tc.password); err != nil || got != tc.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestHasherRefusesWhatItHasNoRoomFor(t *testing.T) {
	h := NewHasher(2)
	h.most, h.patience = 3, time.Hour
	busy, done := make(chan bool), make(chan bool)
	for range 2 {
		go func() {
			_ = h.inTurn(context.Background(), func() { busy <- true; <-done })
		}()
		<-busy
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		waiting.Go(func() { errs[i] = h.inTurn(ctx, func() { t.Error("it had no turn") }) })
	}
	for h.waiting.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	if err := h.inTurn(t.Context(), func() {}); !errors.Is(err, ErrBusy) {
		t.Errorf("the fourth that would wait: %v", err)
	}
	cancel() // those who wait give up
	waiting.Wait()
	for _, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("one that gave up: %v", err)
		}
	}
	h.patience = time.Millisecond
	if err := h.inTurn(t.Context(), func() {}); !errors.Is(err, ErrBusy) {
		t.Errorf("one that waited too long: %v", err)
	}
	close(done)
	if err := h.inTurn(t.Context(), func() {}); err != nil && !errors.Is(err, ErrBusy) {
		t.Errorf("after the others: %v", err)
	}
	if h.waiting.Load() != 0 {
		t.Errorf("%d are counted as waiting", h.waiting.Load())
	}
}

func TestNobodyTakesAsLongAsSomebody(t *testing.T) {
	h := NewHasher(1)
	hash := hashPassword("correct horse")
	h.nobody() // made at the first use
	// The quickest of runs in turn says most about the work: whatever else the
	// machine does is not in it. Without the work it would be a hundred times less.
	somebody, nobody := time.Hour, time.Hour
	for range 9 {
		for hash, quickest := range map[*PasswordHash]*time.Duration{&hash: &somebody, {}: &nobody} {
			began := time.Now()
			if _, err := h.Matches(t.Context(), *hash, "wrong horse"); err != nil {
				t.Fatal(err)
			}
			*quickest = min(*quickest, time.Since(began))
		}
	}
	if somebody > 10*nobody || nobody > 10*somebody {
		t.Errorf("somebody takes %v, nobody %v", somebody, nobody)
	}
}
