package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// shortDir is a folder whose path leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// brokenDemo tells the story with another API, and says how it ended.
func brokenDemo(t *testing.T, api func(keys map[string]string) http.Handler) (*failure, string) {
	t.Helper()
	t.Setenv("TMPDIR", shortDir(t))
	var out, errOut bytes.Buffer
	d, err := openDemo(&terminal{In: strings.NewReader(""), Out: &out, Err: &errOut, Env: os.Getenv, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	d.patience = 2 * time.Second
	if err := d.start(t.Context(), api); err != nil {
		t.Fatal(err)
	}
	err = d.tell(t.Context())
	if ended := d.end(); ended != nil {
		t.Error(ended)
	}
	if _, err := os.Stat(d.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left behind: %v", d.dir, err)
	}
	var f *failure
	if !errors.As(err, &f) {
		t.Fatalf("ended with %v\n%s", err, out.String())
	}
	return f, out.String()
}

func TestADemoThatDoesNotShowWhatItShouldSaysWhichStep(t *testing.T) {
	for name, tc := range map[string]struct {
		api  func(keys map[string]string) http.Handler
		want string
	}{
		"an API that is open to all has no keys": {func(map[string]string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "open") })
		}, "step 1, An API with keys"},
		"an API that changes its mind about a key": {func(keys map[string]string) http.Handler {
			inner := newProductsAPI(keys)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Offkey-Client") != "" { // a call with a token
					reply(w, http.StatusInternalServerError, "out of order")
					return
				}
				inner.ServeHTTP(w, r)
			})
		}, "step 4, A token opens what its scope says"},
	} {
		t.Run(name, func(t *testing.T) {
			f, said := brokenDemo(t, tc.api)
			if f.exit != exitFailed || f.code != "demo_broken" || !strings.HasPrefix(f.message, tc.want) || f.fix == "" {
				t.Errorf("exit %d, %s: %s", f.exit, f.code, f.message)
			}
			if !strings.Contains(said, "$ offkey up") {
				t.Errorf("said %s", said)
			}
		})
	}
}

func TestADemoThatIsKeptEndsWithCtrlC(t *testing.T) {
	t.Setenv("TMPDIR", shortDir(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lockedBuffer{}
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"demo", "--keep"}, strings.NewReader(""), out, out, os.Getenv)
	}()
	for deadline := time.Now().Add(patience); !strings.Contains(out.String(), "Try in another terminal"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(out.String())
		}
	}
	_, after, _ := strings.Cut(out.String(), "through offkey")
	resp, err := http.Get(strings.Fields(after)[0] + "/health")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	cancel()
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit %d: %s", code, out.String())
		}
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
