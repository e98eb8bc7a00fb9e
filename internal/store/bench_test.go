package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

func openBench(b *testing.B) *DB {
	b.Helper()
	db, err := Open(b.Context(), Options{DSN: filepath.Join(b.TempDir(), "offkey.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "offkey.db")
	for b.Loop() {
		db, err := Open(b.Context(), Options{DSN: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSpendAssertion(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(strconv.Itoa(writers)+" writers", func(b *testing.B) {
			db := openBench(b)

			var next atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						fresh, err := db.SpendAssertion(b.Context(), "cl_0192", strconv.FormatInt(n, 10), time.Now().Add(time.Minute).Truncate(time.Second))
						if err != nil || !fresh {
							b.Errorf("fresh %v, error %v", fresh, err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func benchClient(b *testing.B, id string) *client.Client {
	b.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	key := jose.PublicKey{Alg: jose.ES256, Use: "sig", Key: private.Public()}
	key.ID = key.Thumbprint()
	return &client.Client{
		ID: id, Name: "billing", Owner: "acme", Status: client.Active, AuthMethod: oauth.AuthPrivateKeyJWT, SigningAlg: jose.ES256,
		Audience: client.Strict, Grants: []string{oauth.GrantClientCredentials}, Scopes: oauth.Scope{"read:orders", "create:orders"},
		Source: client.SourceAPI, Created: time.Now(),
		Credentials: []client.Credential{{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &key, Created: time.Now()}},
	}
}

func BenchmarkClient(b *testing.B) {
	db := openBench(b)
	for i := range 1000 {
		c := benchClient(b, fmt.Sprintf("cl_%d", i))
		if i%2 == 0 {
			c.AuthMethod = oauth.AuthClientSecretBasic
			c.Credentials[0] = client.Credential{ID: client.NewCredentialID(), Kind: client.KindSecret, Hash: secret.HashOf("x"), Created: time.Now()}
		}
		if err := db.CreateClient(b.Context(), c, audit.Event{Actor: "os:0", Action: "client.created", Object: c.ID}); err != nil {
			b.Fatal(err)
		}
	}
	for i, name := range []string{"secret", "jwk"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for n := range b.N {
				if _, err := db.Client(b.Context(), "cl_"+strconv.Itoa(n*2%1000+i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAddTraffic(b *testing.B) {
	db := openBench(b)
	now := time.Now()
	rows := make([]traffic.Row, 1000)
	for i := range rows {
		rows[i] = traffic.Row{
			Hour: now, Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: fmt.Sprintf("ak_%d", i%100)},
			Method: "GET", Template: fmt.Sprintf("/v1/things/%d", i/100), Status: 200, UserAgent: "curl/8", Source: netip.MustParsePrefix("203.0.113.0/24"),
			Carrier: "header:X-API-Key", Calls: 3, First: now, Last: now,
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		for i := range rows {
			rows[i].Hour = now.Add(time.Duration(n%24) * time.Hour)
		}
		if err := db.AddTraffic(b.Context(), rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(rows)), "µs/row")
}

// BenchmarkBusyHour is the most that an hour may hold: 500,000 rows, added in
// flushes of a second and read back whole, and by one apikey of 1,000.
func BenchmarkBusyHour(b *testing.B) {
	const flushes, perFlush = 500, 1000
	for b.Loop() {
		db := openBench(b)
		hour := time.Now().Truncate(time.Hour)
		start := time.Now()
		for flush := range flushes {
			rows := make([]traffic.Row, perFlush)
			for i := range rows {
				rows[i] = traffic.Row{
					Hour: hour, Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: fmt.Sprintf("ak_%d", i)}, Method: "GET",
					Template: fmt.Sprintf("/v1/things/%d", flush), Status: 200, UserAgent: "curl/8", Source: netip.MustParsePrefix("203.0.113.0/24"),
					Carrier: "header:X-API-Key", Calls: 3, First: hour, Last: hour,
				}
			}
			if err := db.AddTraffic(b.Context(), rows); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/add")
		for name, f := range map[string]traffic.Filter{"read-all": {}, "read-one": {Credential: &traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_500"}}} {
			start, n := time.Now(), 0
			if err := db.Traffic(b.Context(), f, func(traffic.Row) error { n++; return nil }); err != nil || n == 0 {
				b.Fatal(n, err)
			}
			b.ReportMetric(time.Since(start).Seconds(), "s/"+name)
		}
		info, err := os.Stat(db.engine.(dataFile).path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/flushes/perFlush, "B/row")
	}
}
