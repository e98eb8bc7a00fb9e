package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
)

// held is a writer that has begun a transition and waits in it.
func held(t *testing.T, db *DB) (release func()) {
	t.Helper()
	begun, goOn := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var once sync.Once
		if err := db.change(context.Background(), func(*tx) error {
			once.Do(func() { close(begun) })
			<-goOn
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-begun
	return func() {
		close(goOn)
		wg.Wait()
	}
}

// queued starts a call that has to wait for the writer, and returns when it
// does. The call's error comes from the function returned.
func queued(t *testing.T, db *DB, call func() error) (result func() error) {
	t.Helper()
	before := len(db.writer.queue)
	done := make(chan error, 1)
	go func() { done <- call() }()
	for len(db.writer.queue) == before {
		time.Sleep(50 * time.Microsecond)
	}
	return func() error { return <-done }
}

func TestATransitionThatFailsIsRolledBackAlone(t *testing.T) {
	db := openNew(t)
	create(t, db, "cl_0")
	mine := errors.New("mine")
	release := held(t, db)
	makeClient := func(id string, after func() error) func() error {
		return queued(t, db, func() error {
			return db.change(t.Context(), func(x *tx) error {
				if err := x.insertClient(&client.Client{ID: id}); err != nil {
					return err
				}
				if err := x.record(did("client.created")); err != nil {
					return err
				}
				return after()
			})
		})
	}
	fine := func() error { return nil }
	results := map[string]func() error{
		"cl_1":     makeClient("cl_1", fine),
		"cl_error": makeClient("cl_error", func() error { return mine }),
		"cl_2":     makeClient("cl_2", fine),
		"cl_panic": makeClient("cl_panic", func() error { panic("oh") }),
		"cl_3":     makeClient("cl_3", fine),
		"cl_0":     makeClient("cl_0", fine),
	}
	release()
	for id, want := range map[string]error{"cl_1": nil, "cl_error": mine, "cl_2": nil, "cl_panic": errPanic, "cl_3": nil, "cl_0": client.ErrExists} {
		if err := results[id](); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
		_, err := db.Client(t.Context(), id)
		if there, want := err == nil, want == nil || id == "cl_0"; there != want {
			t.Errorf("%s is there: %v, want %v", id, there, want)
		}
	}
	if n, _, err := db.VerifyAudit(t.Context()); err != nil || n != 4 {
		t.Errorf("%d audit entries, %v", n, err)
	}
	create(t, db, "cl_4")
}

func TestAPanicAloneIsAnErrorToo(t *testing.T) {
	db := openNew(t)
	err := db.CreateClient(t.Context(), nil, did("x")) // a defect of the caller
	if !errors.Is(err, errPanic) {
		t.Errorf("got %v", err)
	}
	create(t, db, "cl_1")
}

func TestWhoGivesUpBeforeItsTurnHasDoneNothing(t *testing.T) {
	db := openNew(t)
	release := held(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	result := queued(t, db, func() error { return db.CreateClient(ctx, &client.Client{ID: "cl_1"}, did("x")) })
	cancel()
	if err := result(); !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	create(t, db, "cl_2") // after whatever was queued
	if _, err := db.Client(t.Context(), "cl_1"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("it happened all the same: %v", err)
	}
}

func TestWhoGivesUpDuringItsTurnIsToldWhatHappened(t *testing.T) {
	db := openNew(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.change(ctx, func(x *tx) error {
		cancel()
		return x.insertClient(&client.Client{ID: "cl_1"})
	})
	if err != nil {
		t.Errorf("got %v", err)
	}
	if _, err := db.Client(t.Context(), "cl_1"); err != nil {
		t.Error(err)
	}
}

func TestAFullQueueIsBusyAndNotEndless(t *testing.T) {
	db := openNew(t)
	release := held(t, db)
	for range maxQueue {
		db.writer.queue <- &transition{run: func(*tx) error { return nil }, done: make(chan struct{})}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := db.CreateClient(ctx, &client.Client{ID: "cl_1"}, did("x"))
	if !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := db.Routes(t.Context()); err != nil {
		t.Errorf("reading waits for writing: %v", err)
	}
	release()
	create(t, db, "cl_1")
}

func TestClosingFinishesWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offkey.db")
	db := openAt(t, path)
	release := held(t, db)
	var results []func() error
	for i := range 50 {
		results = append(results, queued(t, db, func() error {
			return db.CreateClient(t.Context(), &client.Client{ID: fmt.Sprint("cl_", i)}, did("x"))
		}))
	}
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	<-db.writer.closing
	if err := db.CreateClient(t.Context(), &client.Client{ID: "cl_late"}, did("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("a late one: %v", err)
	}
	release()
	for _, result := range results {
		if err := result(); err != nil {
			t.Error(err)
		}
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	db = openAt(t, path)
	for i := range 50 {
		if _, err := db.Client(t.Context(), fmt.Sprint("cl_", i)); err != nil {
			t.Error(err)
		}
	}
}

func TestClosingWhileOthersCallLeavesNobodyWaiting(t *testing.T) {
	for range 8 {
		db := openNew(t)
		var wg sync.WaitGroup
		var done atomic.Int32
		for i := range 16 {
			wg.Go(func() {
				for n := 0; ; n++ {
					done.Add(1)
					var err error
					if i%2 == 0 {
						_, err = db.SpendAssertion(context.Background(), fmt.Sprint(i), fmt.Sprint(n), time.Now())
					} else {
						_, err = db.Routes(context.Background())
					}
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for done.Load() < 200 {
			time.Sleep(50 * time.Microsecond)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}

func TestASubscriberThatPanicsOwesNobodyItsAnswer(t *testing.T) {
	db := openNew(t)
	var told []Change
	db.Subscribe(func([]Change) { panic("oh") })
	db.Subscribe(func(c []Change) { told = append(told, c...) })
	create(t, db, "cl_1")
	create(t, db, "cl_2")
	if len(told) != 2 {
		t.Errorf("the other was told %v", told)
	}
}

// fill limits the data file to a few pages more than it has, and returns a
// function that takes the limit away.
func fill(t *testing.T, db *DB, more int) (free func()) {
	t.Helper()
	limit := func(pages int) {
		t.Helper()
		if err := db.change(t.Context(), func(x *tx) error {
			var is int
			return x.one(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages), nil, &is)
		}); err != nil {
			t.Fatal(err)
		}
	}
	var pages int
	if err := db.change(t.Context(), func(x *tx) error { return x.one(`PRAGMA page_count`, nil, &pages) }); err != nil {
		t.Fatal(err)
	}
	limit(pages + more)
	return func() { limit(1 << 30) }
}

func TestAFullDiskFailsWhatNeedsRoomAndNothingElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "offkey.db")
	db := openAt(t, path)
	create(t, db, "cl_0")
	free := fill(t, db, 8)
	release := held(t, db)
	huge := &client.Client{ID: "cl_huge", Name: strings.Repeat("x", 100_000)}
	small := queued(t, db, func() error { return db.CreateClient(t.Context(), &client.Client{ID: "cl_1"}, did("x")) })
	spent := queued(t, db, func() error {
		fresh, err := db.SpendAssertion(t.Context(), "cl_0", "a", time.Now().Add(time.Hour))
		if err == nil && !fresh {
			err = errors.New("not fresh")
		}
		return err
	})
	full := queued(t, db, func() error { return db.CreateClient(t.Context(), huge, did("x")) })
	after := queued(t, db, func() error {
		_, err := db.UpdateClient(t.Context(), "cl_0", func(c *client.Client) error { c.Name = "new"; return nil }, did("x"))
		return err
	})
	release()
	for name, result := range map[string]func() error{"small": small, "spent": spent, "after": after} {
		if err := result(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := full(); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), path) {
		t.Errorf("full: %v", err)
	}
	// More of the same, until not even the small fit.
	var err error
	for i := 0; err == nil && i < 10_000; i++ {
		err = db.CreateClient(t.Context(), &client.Client{ID: fmt.Sprint("cl_more_", i)}, did("x"))
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("in the end: %v", err)
	}
	if _, err := db.Client(t.Context(), "cl_1"); err != nil {
		t.Errorf("reading: %v", err)
	}
	free()
	if err := db.CreateClient(t.Context(), huge, did("x")); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if _, _, err := db.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openAt(t, path)
	if fresh, err := db.SpendAssertion(t.Context(), "cl_0", "a", time.Now().Add(time.Hour)); err != nil || fresh {
		t.Errorf("spent: fresh %v, %v", fresh, err)
	}
}

func TestAJTIThatCouldNotBeWrittenIsNotSpent(t *testing.T) {
	db := openNew(t)
	create(t, db, "cl_1")
	free := fill(t, db, 0)
	var unwritten []string
	for i := 0; len(unwritten) < 3 && i < 10_000; i++ {
		jti := fmt.Sprint(i)
		fresh, err := db.SpendAssertion(t.Context(), "cl_1", jti, time.Now().Add(time.Hour))
		switch {
		case errors.Is(err, ErrFull) && !fresh:
			unwritten = append(unwritten, jti)
		case err != nil || !fresh:
			t.Fatalf("fresh %v, %v", fresh, err)
		}
	}
	if len(unwritten) == 0 {
		t.Fatal("the disk was never full")
	}
	free()
	for _, jti := range unwritten {
		if fresh, err := db.SpendAssertion(t.Context(), "cl_1", jti, time.Now().Add(time.Hour)); err != nil || !fresh {
			t.Errorf("%s: fresh %v, %v", jti, fresh, err)
		}
	}
}

func TestTooManyLiveAssertionsAreRefusedAndNoneLetIn(t *testing.T) {
	now := time.Now()
	db, err := Open(t.Context(), Options{DSN: filepath.Join(t.TempDir(), "offkey.db"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.writer.spent.most = 5
	for i := range 5 {
		if fresh, err := db.SpendAssertion(t.Context(), "cl_1", fmt.Sprint(i), now.Add(time.Minute)); err != nil || !fresh {
			t.Errorf("fresh %v, %v", fresh, err)
		}
	}
	if fresh, err := db.SpendAssertion(t.Context(), "cl_1", "3", now); fresh || err != nil {
		t.Errorf("a known one: fresh %v, %v", fresh, err)
	}
	if fresh, err := db.SpendAssertion(t.Context(), "cl_1", "5", now); fresh || !errors.Is(err, errSpentFull) {
		t.Errorf("a new one: fresh %v, %v", fresh, err)
	}
	if n, err := db.Clean(t.Context(), now.Add(time.Hour), 100); n != 5 || err != nil {
		t.Errorf("cleaned %d, %v", n, err)
	}
	if fresh, err := db.SpendAssertion(t.Context(), "cl_1", "5", now); !fresh || err != nil {
		t.Errorf("with room again: fresh %v, %v", fresh, err)
	}
}
