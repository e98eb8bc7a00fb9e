package client

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

func TestCacheReadsAClientOnce(t *testing.T) {
	loads := 0
	c := NewCache(func(_ context.Context, id string) (*Client, error) {
		loads++
		return &Client{ID: id}, nil
	}, 10)
	for range 5 {
		if got, err := c.Client(t.Context(), "a"); err != nil || got.ID != "a" {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if loads != 1 {
		t.Errorf("read %d times", loads)
	}
	c.Forget("a")
	if _, err := c.Client(t.Context(), "a"); err != nil || loads != 2 {
		t.Errorf("after Forget read %d times, %v", loads, err)
	}
}

func TestCacheRemembersNoFailure(t *testing.T) {
	answer := ErrNotFound
	c := NewCache(func(_ context.Context, id string) (*Client, error) {
		return &Client{ID: id}, answer
	}, 10)
	for i := range 1000 {
		if _, err := c.Client(t.Context(), strconv.Itoa(i)); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	if c.Len() != 0 {
		t.Errorf("holds %d clients that are not there", c.Len())
	}
	answer = nil
	if _, err := c.Client(t.Context(), "1"); err != nil {
		t.Errorf("a client made since is not found: %v", err)
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	var loads sync.Map
	c := NewCache(func(_ context.Context, id string) (*Client, error) {
		n, _ := loads.LoadOrStore(id, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		return &Client{ID: id}, nil
	}, 10)
	for i := range 1000 {
		for _, id := range []string{"busy", strconv.Itoa(i)} {
			if _, err := c.Client(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if c.Len() > 10 {
			t.Fatalf("holds %d clients, capacity is 10", c.Len())
		}
	}
	if n, _ := loads.Load("busy"); n.(*atomic.Int64).Load() != 1 {
		t.Errorf("the client in use was read %d times", n.(*atomic.Int64).Load())
	}
}

func TestAReadThatAChangeOvertookIsNotKept(t *testing.T) {
	reading, changed := make(chan bool), make(chan bool)
	first := true
	name := "before"
	c := NewCache(func(_ context.Context, id string) (*Client, error) {
		got := &Client{ID: id, Name: name}
		if first {
			first = false
			reading <- true
			<-changed
		}
		return got, nil
	}, 10)
	done := make(chan bool)
	go func() {
		defer close(done)
		if _, err := c.Client(context.Background(), "a"); err != nil {
			t.Error(err)
		}
	}()
	<-reading
	name = "after"
	c.Forget("a")
	changed <- true
	<-done
	if got, err := c.Client(t.Context(), "a"); err != nil || got.Name != "after" {
		t.Errorf("%+v, %v: the client as it was before the change was kept", got, err)
	}
}
