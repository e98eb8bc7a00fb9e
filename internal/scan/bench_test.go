package scan

import (
	"bytes"
	"strings"
	"testing"
)

func BenchmarkScanLog(b *testing.B) {
	text := []byte(strings.Repeat("203.0.113.7 - - [28/Nov/2026:00:00:00 +0000] \"GET /v1/orders/12345?page=2 HTTP/1.1\" 200 512 \"-\" \"python-requests/2.32\"\n", 10_000))
	s := &Scanner{Detectors: append([]Detector{Issued()}, Derive([]string{"sk_live_0123456789abcdef", "sk_live_0123456789abcdee"})...)}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := s.Stream(b.Context(), bytes.NewReader(text), "-"); err != nil {
			b.Fatal(err)
		}
	}
}
