package notify

import (
	"fmt"
	"testing"
	"time"
)

func TestAnApikeysShareOfADay(t *testing.T) {
	var d told
	for i := range mostPerDay {
		id := fmt.Sprint("cl_", i)
		if got := d.next("ak_1", id, noon); got != tellIt {
			t.Fatalf("client %d: %v", i, got)
		}
		if got := d.next("ak_1", id, noon.Add(time.Hour)); got != toldBefore {
			t.Fatalf("client %d again: %v", i, got)
		}
	}
	for i, want := range []verdict{tellMore, tooMany, tooMany} {
		if got := d.next("ak_1", fmt.Sprint("cl_more", i), noon.Add(23*time.Hour)); got != want {
			t.Errorf("%d beyond the share: %v, want %v", i+1, got, want)
		}
	}
	if got := d.next("ak_2", "cl_0", noon); got != tellIt {
		t.Errorf("another apikey: %v", got)
	}
	if got := d.next("ak_1", "cl_next", noon.Add(24*time.Hour)); got != tellIt {
		t.Errorf("the next day: %v", got)
	}
}

func TestWhatCouldNotBeToldIsNotTold(t *testing.T) {
	var d told
	d.next("ak_1", "cl_1", noon)
	d.forget("ak_1", "cl_1")
	d.forget("ak_2", "cl_1")
	if got := d.next("ak_1", "cl_1", noon); got != tellIt {
		t.Errorf("%v", got)
	}
}

func TestTheShareOfManyApikeysIsBounded(t *testing.T) {
	var d told
	for i := range mostTold + 100 {
		if got := d.next(fmt.Sprint("ak_", i), "cl_1", noon); got != tellIt {
			t.Fatalf("apikey %d: %v", i, got)
		}
	}
	if n := len(d.apikeys); n != mostTold {
		t.Errorf("%d apikeys are kept", n)
	}
	if d.next("ak_late", "cl_1", noon.Add(25*time.Hour)); len(d.apikeys) != 1 {
		t.Errorf("%d apikeys are kept of a day that is over", len(d.apikeys)-1)
	}
}
