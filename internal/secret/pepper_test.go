package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
)

func TestFingerprintIsHMACSHA256(t *testing.T) {
	// RFC 4231 §4.7: the one of its examples whose key is long enough to be a pepper.
	p, err := NewPepper([]byte(strings.Repeat("\xaa", 131)))
	if err != nil {
		t.Fatal(err)
	}
	const want = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
	if got := p.Fingerprint("Test Using Larger Than Block-Size Key - Hash Key First"); got.String() != want {
		t.Errorf("got %s", got)
	}
	key := []byte(strings.Repeat("p", 32))
	p = testPepper(t)
	for n := range 1200 { // over every boundary of the internal buffer
		apikey := strings.Repeat("k", n)
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(apikey))
		want := Hash(mac.Sum(nil))
		if got := p.Fingerprint(apikey); got != want {
			t.Fatalf("length %d: got %s, want %s", n, got, want)
		}
		if got := p.FingerprintBytes([]byte(apikey)); got != want {
			t.Fatalf("length %d as bytes: got %s, want %s", n, got, want)
		}
	}
}

func TestPepperNeedsAKeyAndKeepsItsOwn(t *testing.T) {
	for _, n := range []int{0, 16, 31} {
		if _, err := NewPepper(make([]byte, n)); err == nil {
			t.Errorf("%d bytes are a pepper", n)
		}
	}
	key := []byte(strings.Repeat("p", 32))
	p, err := NewPepper(key)
	if err != nil {
		t.Fatal(err)
	}
	clear(key)
	if p.Fingerprint("a") != testPepper(t).Fingerprint("a") {
		t.Error("changing the slice that was passed changes the pepper")
	}
}

func TestFingerprintsFromManyGoroutines(t *testing.T) {
	p := testPepper(t)
	var wg sync.WaitGroup
	for g := range 8 {
		apikey := strings.Repeat("k", 40*g+1)
		want := p.Fingerprint(apikey)
		wg.Go(func() {
			for range 500 {
				if got := p.Fingerprint(apikey); got != want {
					t.Errorf("got %s, want %s", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkFingerprint(b *testing.B) {
	p := testPepper(b)
	b.ReportAllocs()
	for b.Loop() {
		p.Fingerprint("sk_live_0123456789abcdefghijklmnopqrstuv")
	}
}

func BenchmarkHashOf(b *testing.B) {
	s := Generate(KindClientSecret).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		HashOf(s)
	}
}

func BenchmarkWellFormed(b *testing.B) {
	s := Generate(KindClientSecret).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		WellFormed(s)
	}
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Generate(KindClientSecret)
	}
}

func BenchmarkSame(b *testing.B) {
	x, y := Generate(KindClientSecret).Reveal(), Generate(KindClientSecret).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		Same(x, y)
	}
}
