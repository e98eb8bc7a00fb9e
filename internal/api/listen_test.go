package api_test

import (
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/offkey/offkey/internal/api"
)

func self() string { return "os:" + strconv.Itoa(os.Geteuid()) }

// privateDir is a directory with a short path, as a socket's must be.
func privateDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "offkey")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestTheSocketIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(privateDir(t), "offkey.sock")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode is %v, want a socket with 0600", info.Mode())
	}
}

func TestListenRefusesWithTheWayOut(t *testing.T) {
	tests := []struct {
		name string
		path func(t *testing.T, dir string) string
		says string
	}{
		{"a directory that others may enter", func(t *testing.T, dir string) string {
			if err := os.Chmod(dir, 0o750); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "s")
		}, "chmod 700"},
		{"a directory that does not exist", func(_ *testing.T, dir string) string { return filepath.Join(dir, "none", "s") }, "no such file or directory"},
		{"a file in place of the directory", func(t *testing.T, dir string) string {
			if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o700); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "file", "s")
		}, "no directory"},
		{"a file in place of the socket", func(t *testing.T, dir string) string {
			if err := os.WriteFile(filepath.Join(dir, "s"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "s")
		}, "is no socket"},
		{"a path that no socket can have", func(_ *testing.T, dir string) string { return filepath.Join(dir, strings.Repeat("a", 120)) }, "--socket"},
		{"a socket that somebody answers", func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "s")
			l, err := api.Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return path
		}, "an offkey that is running answers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := api.Listen(tt.path(t, privateDir(t)))
			if err == nil {
				l.Close()
				t.Fatal("it listens")
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("it says %q, want %q in it", err, tt.says)
			}
		})
	}
}

func TestTheLongestPathThatASocketCanHaveWorks(t *testing.T) {
	dir := privateDir(t)
	longest := 107 // of Linux; macOS has 103
	if _, err := api.Listen(filepath.Join(dir, strings.Repeat("a", longest-len(dir)))); err == nil {
		t.Fatal("one byte more than fits is accepted")
	}
	l, err := api.Listen(filepath.Join(dir, strings.Repeat("a", longest-len(dir)-1)))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// leaveBehind makes a socket that nobody answers, as a killed process does.
func leaveBehind(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestASocketThatWasLeftBehindIsReplaced(t *testing.T) {
	path := filepath.Join(privateDir(t), "offkey.sock")
	leaveBehind(t, path)
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestOfManyThatStartTogetherOneGetsTheSocket(t *testing.T) {
	path := filepath.Join(privateDir(t), "offkey.sock")
	leaveBehind(t, path)
	var mu sync.Mutex
	var won []net.Listener
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if l, err := api.Listen(path); err == nil {
				mu.Lock()
				won = append(won, l)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d listen, want 1", len(won))
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the socket of the one that listens is gone: %v", err)
	}
	conn.Close()
	for _, l := range won {
		l.Close()
	}
}

func TestTheKernelSaysWhoIsAtTheOtherEnd(t *testing.T) {
	path := filepath.Join(privateDir(t), "offkey.sock")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := net.Dial("unix", path); err == nil {
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1))
		}
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if actor, err := api.PeerActor(conn); err != nil || actor != self() {
		t.Errorf("actor is %q (%v), want %q", actor, err, self())
	}
}

func TestNobodyVouchesForOtherConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
			conn.Close()
		}
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if actor, err := api.PeerActor(conn); err == nil {
		t.Errorf("a TCP connection is taken for %q", actor)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if actor, err := api.PeerActor(a); err == nil {
		t.Errorf("a pipe is taken for %q", actor)
	}
}

func TestTheHandlerLetsNobodyInForWhomNobodyVouches(t *testing.T) {
	w := newWorld(t)
	// The same handler, on a TCP listener, without and with ConnContext.
	for name, connContext := range map[string]bool{"without ConnContext": false, "over TCP": true} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(w.handler())
			if connContext {
				s.Config.ConnContext = api.ConnContext
			}
			s.Start()
			defer s.Close()
			resp, err := http.Get(s.URL + "/api/v1/status")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("answer is %s, want 403", resp.Status)
			}
		})
	}
}
