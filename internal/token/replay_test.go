package token

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAProofIsSeenOnceWhileItCouldBeAccepted(t *testing.T) {
	// checklist_146
	r, at := NewReplays(), time.Unix(1_800_000_000, 0)
	spend := func(jkt, id string, after time.Duration) bool {
		fresh, room := r.Spend(Proof{JKT: jkt, ID: id}, at.Add(after))
		if !room {
			t.Fatal("no room")
		}
		return fresh
	}
	if !spend("k", "a", 0) || spend("k", "a", 0) || !spend("other", "a", 0) || !spend("k", "b", 0) {
		t.Error("the same key and jti are fresh once, and no others are taken for them")
	}
	for _, after := range []time.Duration{time.Second, replayLife, replayLife + time.Second, replayLife + time.Minute} {
		if spend("k", "a", after) {
			t.Errorf("fresh again after %v", after)
		}
	}
	if !spend("k", "a", 3*replayLife) {
		t.Error("remembered for ever")
	}
}

func TestOf64ProofsThatArriveTogetherOneIsFresh(t *testing.T) {
	// checklist_146
	r, at := NewReplays(), time.Unix(1_800_000_000, 0)
	var good atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if fresh, _ := r.Spend(Proof{JKT: "k", ID: "a"}, at); fresh {
				good.Add(1)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("%d were fresh", good.Load())
	}
}

func TestTheMemoryOfProofsHasAnEnd(t *testing.T) {
	r, at := &Replays{most: 10}, time.Unix(1_800_000_000, 0)
	refused := 0
	for i := range 1000 {
		if _, room := r.Spend(Proof{JKT: "k", ID: strconv.Itoa(i)}, at); !room {
			refused++
		}
	}
	if want := 1000 - 10*replayShards; refused != want {
		t.Errorf("%d refused, want %d", refused, want)
	}
	if fresh, room := r.Spend(Proof{JKT: "k", ID: "later"}, at.Add(3*replayLife)); !fresh || !room {
		t.Error("no room after everything has aged")
	}
}
