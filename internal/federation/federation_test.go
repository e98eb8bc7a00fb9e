package federation

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

func TestChecklist28Addresses(t *testing.T) {
	tests := []struct {
		address          string
		public, internal bool // may be dialled by default, with AllowPrivate
	}{
		{"93.184.216.34", true, true},
		{"2606:2800:220:1::1", true, true},
		{"127.0.0.1", false, true},
		{"127.255.255.254", false, true},
		{"::1", false, true},
		{"10.1.2.3", false, true},
		{"172.16.0.1", false, true},
		{"172.32.0.1", true, true},
		{"192.168.1.1", false, true},
		{"100.64.0.1", false, true},
		{"fd00::1", false, true},
		{"169.254.169.254", false, false},
		{"fe80::1", false, false},
		{"fe80::1%eth0", false, false},
		{"fd00:ec2::254", false, false},
		{"fd20:ce::254", false, false},
		{"fd00:c1::a9fe:a9fe", false, false},
		{"100.100.100.200", false, false},
		{"0.0.0.0", false, false},
		{"::", false, false},
		{"224.0.0.1", false, false},
		{"ff02::1", false, false},
		{"255.255.255.255", false, false},
		{"192.0.2.1", false, false},
		{"198.18.0.1", false, false},
		{"2001:db8::1", false, false},
		{"::ffff:127.0.0.1", false, true},
		{"::ffff:169.254.169.254", false, false},
		{"::ffff:93.184.216.34", true, true},
		{"::7f00:1", false, false},           // IPv4-compatible 127.0.0.1
		{"64:ff9b::7f00:1", false, false},    // NAT64 of 127.0.0.1
		{"2002:7f00:1::", false, false},      // 6to4 of 127.0.0.1
		{"2001:0:1234::1", false, false},     // Teredo
		{"64:ff9b:1::1", false, false},       // local NAT64
		{"::ffff:0:127.0.0.1", false, false}, // IPv4-translated
	}
	for _, tt := range tests {
		t.Run("checklist_28 "+tt.address, func(t *testing.T) {
			a := netip.MustParseAddr(tt.address)
			if got := checkAddress(a, false) == nil; got != tt.public {
				t.Errorf("by default dialled: %v, want %v", got, tt.public)
			}
			if got := checkAddress(a, true) == nil; got != tt.internal {
				t.Errorf("with AllowPrivate dialled: %v, want %v", got, tt.internal)
			}
		})
	}
}

// far is the far side: a server of JWK sets under its own CA.
type far struct {
	*httptest.Server
	hits    atomic.Int64
	handler atomic.Pointer[http.HandlerFunc]
	caFile  string
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.hits.Add(1)
		(*f.handler.Load())(w, r)
	}))
	f.Config.ErrorLog = nil
	f.StartTLS()
	t.Cleanup(f.Close)
	f.caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	if err := os.WriteFile(f.caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	f.serve(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	return f
}

func (f *far) serve(h http.HandlerFunc) { f.handler.Store(&h) }

func (f *far) fetcher(t *testing.T, change func(*Options)) *Fetcher {
	t.Helper()
	o := Options{AllowPrivate: true, CAFile: f.caFile}
	if change != nil {
		change(&o)
	}
	fetcher, err := NewFetcher(o)
	if err != nil {
		t.Fatal(err)
	}
	return fetcher
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want an error with %q", err, part)
	}
}

func TestChecklist28(t *testing.T) {
	f := newFar(t)
	get := func(t *testing.T, url string, change func(*Options)) (Document, error) {
		t.Helper()
		return f.fetcher(t, change).Fetch(t.Context(), url, "application/json")
	}
	t.Run("checklist_28 a document over https", func(t *testing.T) {
		doc, err := get(t, f.URL, nil)
		if err != nil || string(doc.Body) != "hello" {
			t.Errorf("%q, %v", doc.Body, err)
		}
	})
	t.Run("checklist_28 loopback is refused on the dialled connection", func(t *testing.T) {
		before := f.hits.Load()
		_, err := get(t, f.URL, func(o *Options) { o.AllowPrivate = false })
		wantError(t, err, "special-use address")
		if f.hits.Load() != before {
			t.Error("the server was reached")
		}
	})
	t.Run("checklist_28 so is a name that resolves to it", func(t *testing.T) {
		u := strings.Replace(f.URL, "127.0.0.1", "localhost", 1)
		_, err := get(t, u, func(o *Options) { o.AllowPrivate = false })
		wantError(t, err, "special-use address")
	})
	t.Run("checklist_28 an unknown CA is refused", func(t *testing.T) {
		_, err := get(t, f.URL, func(o *Options) { o.CAFile = "" })
		wantError(t, err, "certificate")
	})
	t.Run("checklist_28 plain http is refused by default", func(t *testing.T) {
		plain := httptest.NewServer(http.NotFoundHandler())
		defer plain.Close()
		_, err := get(t, plain.URL, func(o *Options) { o.AllowPrivate = false })
		wantError(t, err, "want https")
	})
	t.Run("checklist_28 plain http reaches loopback only", func(t *testing.T) {
		plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "plain") }))
		defer plain.Close()
		if doc, err := get(t, plain.URL, nil); err != nil || string(doc.Body) != "plain" {
			t.Errorf("%q, %v", doc.Body, err)
		}
		_, err := get(t, "http://10.255.255.1/", nil)
		wantError(t, err, "not loopback")
	})
	for _, url := range []string{"ftp://example.com/a", "file:///etc/passwd", "https://", "//example.com", "https://user:pw@example.com/", "https://example.com/#a", "https://exa mple.com/", "", "gopher://x"} {
		t.Run("checklist_28 refused URL "+url, func(t *testing.T) {
			_, err := get(t, url, nil)
			wantError(t, err, "fetch: ")
		})
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprintf("checklist_28 a %d is not followed", status), func(t *testing.T) {
			var followed atomic.Bool
			f.serve(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/target" {
					followed.Store(true)
				}
				http.Redirect(w, r, "/target", status)
			})
			_, err := get(t, f.URL, nil)
			wantError(t, err, fmt.Sprint(status))
			if followed.Load() {
				t.Error("followed")
			}
		})
	}
	t.Run("checklist_28 a long body is cut off, compressed or endless", func(t *testing.T) {
		f.serve(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		})
		_, err := get(t, f.URL, nil)
		wantError(t, err, "longer than 65536 bytes")
	})
	t.Run("checklist_28 the cap itself fits", func(t *testing.T) {
		f.serve(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 64<<10)) })
		if doc, err := get(t, f.URL, nil); err != nil || len(doc.Body) != 64<<10 {
			t.Errorf("%d bytes, %v", len(doc.Body), err)
		}
	})
	t.Run("checklist_28 a slow server is given up", func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		f.serve(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			select {
			case <-stop:
			case <-r.Context().Done():
			}
		})
		_, err := get(t, f.URL, func(o *Options) { o.Timeout = 50 * time.Millisecond })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("checklist_28 no proxy of the environment", func(t *testing.T) {
		if f.fetcher(t, nil).https.Transport.(*http.Transport).Proxy != nil {
			t.Error("a proxy would dial what the guard does not see")
		}
	})
}

func TestCAFileErrors(t *testing.T) {
	if _, err := NewFetcher(Options{CAFile: "/nonexistent"}); err == nil {
		t.Error("a missing file is accepted")
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := NewFetcher(Options{CAFile: empty})
	wantError(t, err, "no PEM certificate")
}

func TestMaxAge(t *testing.T) {
	for header, want := range map[string]string{
		"": "0s false", "max-age=60": "1m0s true", "public, MAX-AGE=60": "1m0s true", `max-age="5"`: "5s true",
		"max-age=-1": "0s false", "max-age=x": "0s false", "no-store": "0s true", "max-age=60, no-cache": "0s true",
		"max-age=99999999999999999999": "0s false", "s-maxage=9": "0s false",
	} {
		age, said := maxAge(header)
		if got := fmt.Sprint(age, said); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

// moving is a clock to move.
type moving struct{ at atomic.Int64 }

func (m *moving) now() time.Time { return time.Unix(m.at.Load(), 0) }

func newMoving() *moving {
	m := &moving{}
	m.at.Store(1_800_000_000)
	return m
}

// publish makes f serve a JWK set with a new key, and returns its kid.
func (f *far) publish(t *testing.T, cacheControl string) string {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	f.serve(func(w http.ResponseWriter, _ *http.Request) {
		if cacheControl != "" {
			w.Header().Set("Cache-Control", cacheControl)
		}
		w.Write(raw)
	})
	return key.ID()
}

func (f *far) breakDown() {
	f.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
}

func newTestSets(t *testing.T) (*KeySets, *far, *moving) {
	t.Helper()
	f, clock := newFar(t), newMoving()
	return NewKeySets(f.fetcher(t, nil), 10, clock.now), f, clock
}

func wantKid(t *testing.T, set jose.KeySet, err error, kid string) {
	t.Helper()
	if err != nil || len(set.Keys) != 1 || set.Keys[0].ID != kid {
		t.Errorf("got %v, %v, want kid %s", set, err, kid)
	}
}

func TestKeySetIsKeptWithinBounds(t *testing.T) {
	for _, tt := range []struct {
		cacheControl string
		fresh        time.Duration
	}{
		{"", 15 * time.Minute}, {"max-age=600", 10 * time.Minute}, {"max-age=0", time.Minute},
		{"no-store", time.Minute}, {"max-age=86400", time.Hour},
	} {
		t.Run("checklist_28 Cache-Control "+tt.cacheControl, func(t *testing.T) {
			k, f, clock := newTestSets(t)
			kid := f.publish(t, tt.cacheControl)
			for range 3 {
				set, err := k.KeySet(t.Context(), f.URL)
				wantKid(t, set, err, kid)
			}
			clock.at.Add(int64(tt.fresh/time.Second) - 1)
			set, err := k.KeySet(t.Context(), f.URL)
			wantKid(t, set, err, kid)
			if n := f.hits.Load(); n != 1 {
				t.Errorf("fetched %d times while fresh", n)
			}
			clock.at.Add(1)
			set, err = k.KeySet(t.Context(), f.URL)
			wantKid(t, set, err, kid)
			if n := f.hits.Load(); n != 2 {
				t.Errorf("fetched %d times after %v", n, tt.fresh)
			}
		})
	}
}

func TestChecklist27Refresh(t *testing.T) {
	k, f, clock := newTestSets(t)
	old := f.publish(t, "")
	set, err := k.KeySet(t.Context(), f.URL)
	wantKid(t, set, err, old)
	rotated := f.publish(t, "")
	t.Run("checklist_27 an unknown kid fetches again at once", func(t *testing.T) {
		set, err := k.Refresh(t.Context(), f.URL)
		wantKid(t, set, err, rotated)
	})
	t.Run("checklist_27 made-up kids fetch at most once in 30 seconds", func(t *testing.T) {
		before := f.hits.Load()
		for range 100 {
			set, err := k.Refresh(t.Context(), f.URL)
			wantKid(t, set, err, rotated)
		}
		if n := f.hits.Load() - before; n != 0 {
			t.Errorf("fetched %d times", n)
		}
		clock.at.Add(30)
		again := f.publish(t, "")
		set, err := k.Refresh(t.Context(), f.URL)
		wantKid(t, set, err, again)
	})
}

func TestFailuresAreRememberedForAWhile(t *testing.T) {
	k, f, clock := newTestSets(t)
	f.breakDown()
	for range 10 {
		_, err := k.KeySet(t.Context(), f.URL)
		wantError(t, err, "status 500")
		_, err = k.Refresh(t.Context(), f.URL)
		wantError(t, err, "status 500")
	}
	if n := f.hits.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	clock.at.Add(30)
	kid := f.publish(t, "")
	set, err := k.KeySet(t.Context(), f.URL)
	wantKid(t, set, err, kid)
}

func TestAKeySetOutlivesItsServerForAnHour(t *testing.T) {
	k, f, clock := newTestSets(t)
	kid := f.publish(t, "max-age=3600")
	set, err := k.KeySet(t.Context(), f.URL)
	wantKid(t, set, err, kid)
	f.breakDown()
	clock.at.Add(7199)
	set, err = k.KeySet(t.Context(), f.URL)
	wantKid(t, set, err, kid)
	clock.at.Add(60)
	_, err = k.KeySet(t.Context(), f.URL)
	wantError(t, err, "status 500")
}

func TestWhatIsNoKeySetIsAnError(t *testing.T) {
	k, f, _ := newTestSets(t)
	f.serve(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"AAAA"}]}`) })
	_, err := k.KeySet(t.Context(), f.URL)
	wantError(t, err, "symmetric key")
}

func TestOneFetchForManyWaiting(t *testing.T) {
	k, f, _ := newTestSets(t)
	kid := f.publish(t, "")
	publish := *f.handler.Load()
	arrived, release := make(chan bool, 1), make(chan bool)
	f.serve(func(w http.ResponseWriter, r *http.Request) {
		arrived <- true
		<-release
		publish(w, r)
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			set, err := k.KeySet(t.Context(), f.URL)
			wantKid(t, set, err, kid)
		})
	}
	<-arrived
	t.Run("one that gives up does not take the others down", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := k.KeySet(ctx, f.URL); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	close(release)
	wg.Wait()
	if n := f.hits.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestKeySetsAreBounded(t *testing.T) {
	k, f, clock := newTestSets(t)
	f.publish(t, "")
	for i := range 100 {
		clock.at.Add(1)
		if _, err := k.KeySet(t.Context(), fmt.Sprintf("%s/%d", f.URL, i)); err != nil {
			t.Fatal(err)
		}
		if _, err := k.KeySet(t.Context(), f.URL+"/busy"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(k.byURI); n > 10 {
		t.Errorf("%d sets kept, capacity 10", n)
	}
	if n := f.hits.Load(); n != 101 {
		t.Errorf("fetched %d times: the set in use was forgotten", n)
	}
}

func TestGuardRefusesWhatIsNoAddress(t *testing.T) {
	check := guard(func(netip.Addr) error { return nil })
	if err := check("tcp", "not an address", nil); err == nil {
		t.Error("passed")
	}
	if err := check("tcp", net.JoinHostPort("93.184.216.34", "443"), nil); err != nil {
		t.Error(err)
	}
}

func FuzzMaxAge(f *testing.F) {
	f.Add("max-age=60, no-cache")
	f.Fuzz(func(t *testing.T, header string) {
		if age, _ := maxAge(header); age < 0 {
			t.Errorf("%q: %v", header, age)
		}
	})
}
