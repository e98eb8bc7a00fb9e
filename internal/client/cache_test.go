package client

import (
	"context"
	"errors"
	"strconv"
	"strings"
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

func TestCacheRemembersWhoIsNotThere(t *testing.T) {
	loads := 0
	var answer error = ErrNotFound
	c := NewCache(func(_ context.Context, id string) (*Client, error) {
		loads++
		return nil, answer
	}, 10)
	for range 5 {
		if _, err := c.Client(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	if loads != 1 {
		t.Errorf("read %d times", loads)
	}
	c.Forget("nobody")
	if _, err := c.Client(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) || loads != 2 {
		t.Errorf("after Forget read %d times, %v", loads, err)
	}
	answer = errors.New("disk gone")
	for range 2 {
		if _, err := c.Client(t.Context(), "other"); !errors.Is(err, answer) {
			t.Errorf("got %v", err)
		}
	}
	if loads != 4 {
		t.Errorf("read %d times: a failure was remembered", loads)
	}
}

func TestMadeUpIDsFillNothingAndPushNobodyOut(t *testing.T) {
	loads := 0
	c := NewCache(func(_ context.Context, id string) (*Client, error) {
		loads++
		if id == "real" {
			return &Client{ID: id}, nil
		}
		return nil, ErrNotFound
	}, 10)
	if _, err := c.Client(t.Context(), "real"); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		for _, id := range []string{strconv.Itoa(i), strings.Repeat("x", 1000) + strconv.Itoa(i)} {
			if _, err := c.Client(t.Context(), id); !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
		}
	}
	if n := c.Len(); n > 11 {
		t.Errorf("holds %d", n)
	}
	loads = 0
	if _, err := c.Client(t.Context(), "real"); err != nil || loads != 0 {
		t.Errorf("read %d times, %v", loads, err)
	}
	for id := range c.missing.young {
		if len(id) > maxMissingID {
			t.Errorf("keeps an id of %d bytes", len(id))
		}
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
