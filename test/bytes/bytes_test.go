package bytes

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/offkey/offkey/test/binary"
)

func TestMain(m *testing.M) { binary.Main(m) }

// seed is new for each run; OFFKEY_TEST_SEED repeats one that failed.
func seed(t *testing.T) uint64 {
	t.Helper()
	given := os.Getenv("OFFKEY_TEST_SEED")
	if given == "" {
		return rand.Uint64() >> 16 << 16
	}
	number, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		t.Fatalf("OFFKEY_TEST_SEED=%q is not a number", given)
	}
	return number
}

// offkeyBefore starts an offkey as `offkey up` starts it: in stage observe.
func offkeyBefore(t *testing.T, api string) (addr string) {
	t.Helper()
	s := binary.Up(t, "http://"+api, "--apikey-in", "header:X-API-Key", "--apikey-in", "authorization:KEY",
		"--apikey-in", "query:api_key", "--apikey-in", "cookie:apikey")
	return strings.TrimPrefix(s.Gateway, "http://")
}

func TestInObserveNoAnswerDiffersFromTheAPIsOwn(t *testing.T) {
	seed := seed(t)
	t.Run("an API that writes every framing", func(t *testing.T) {
		api := startAPI(t)
		compareAll(t, seed, 7500, api, offkeyBefore(t, api), nil)
	})
	t.Run("Python http.server", func(t *testing.T) {
		modern, old := startPython(t)
		date := []string{"Date"} // the server's clock
		compareAll(t, seed, 1500, modern, offkeyBefore(t, modern), date)
		compareAll(t, seed, 1000, old, offkeyBefore(t, old), date)
	})
}

// The comparison is worth something only if it sees what proxies usually change.
func TestTheComparisonSeesWhatAPlainReverseProxyChanges(t *testing.T) {
	api := startAPI(t)
	to, err := url.Parse("http://" + api)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorLog: log.New(io.Discard, "", 0),
	})
	defer proxy.Close()
	found, kinds := 0, map[string]bool{}
	direct, through := &line{addr: api}, &line{addr: strings.TrimPrefix(proxy.URL, "http://")}
	defer direct.close()
	defer through.close()
	for number := range uint64(600) {
		for _, d := range compare(t, number, direct, through, nil) {
			found++
			what, _, _ := strings.Cut(d, ":")
			kinds[what] = true
		}
	}
	for _, what := range []string{"header Content-Type", "header Content-Length", "header Date", "body"} {
		if !kinds[what] {
			t.Errorf("of %d differences none is in %s", found, what)
		}
	}
	again := &line{addr: api}
	defer again.close()
	for number := range uint64(300) {
		for _, d := range compare(t, number, direct, again, nil) {
			t.Errorf("case %d sent twice to the API itself: %s", number, d)
		}
	}
}

// startPython runs api.py.
func startPython(t *testing.T) (modern, old string) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("OFFKEY_TEST_EXTRAS") == "1" {
			t.Fatal("python3 is missing: run `make setup`")
		}
		t.Skip("python3 is missing: run `make setup`, then this test runs too")
	}
	cmd := exec.Command("python3", "api.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var ports [2]int
	if _, err := fmt.Sscan(said, &ports[0], &ports[1]); err != nil {
		t.Fatalf("api.py said %q", said)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
}

const workers = 4

// compareAll sends n cases both ways.
func compareAll(t *testing.T, seed uint64, n int, api, gateway string, ignored []string) {
	t.Helper()
	var next atomic.Uint64
	var failed atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			direct, through := &line{addr: api}, &line{addr: gateway}
			defer direct.close()
			defer through.close()
			for {
				i := next.Add(1) - 1
				if i >= uint64(n) || failed.Load() >= 10 {
					return
				}
				number := seed + i
				if found := compare(t, number, direct, through, ignored); len(found) > 0 {
					failed.Add(1)
					r := newRequest(number)
					t.Errorf("case %d (OFFKEY_TEST_SEED=%d):\n%.600q\n%s", number, seed, r.head, strings.Join(found, "\n"))
				}
			}
		})
	}
	all.Wait()
}

// compare sends one case both ways and returns what differs.
func compare(t *testing.T, number uint64, direct, through *line, ignored []string) (found []string) {
	t.Helper()
	r := newRequest(number)
	want, err := direct.do(r)
	if err != nil {
		t.Errorf("case %d, directly: %v", number, err)
		return nil
	}
	got, err := through.do(r)
	if err != nil {
		return []string{fmt.Sprintf("no answer: %v", err)}
	}
	differ := func(what string, want, got any) {
		if !reflect.DeepEqual(want, got) {
			found = append(found, fmt.Sprintf("%s: %.300s instead of %.300s", what, fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want)))
		}
	}
	differ("status", want.Status, got.Status)
	differ("interim answers", want.Interim, got.Interim)
	names := map[string]bool{}
	for name := range want.Header {
		names[name] = true
	}
	for name := range got.Header {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !slices.Contains(want.hop, name) && !slices.Contains(ignored, name) {
			differ("header "+name, want.Header[name], got.Header[name])
		}
	}
	differ("broken off", want.Broken, got.Broken)
	differ("body", want.Body, got.Body)
	differ("trailers", want.Trailer, got.Trailer)
	return found
}
