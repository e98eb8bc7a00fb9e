package importfile

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sha256Hex(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
func stdBase64(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}
func urlBase64(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
func upperHex(b []byte) string { return strings.ToUpper(sha256Hex(string(b))) }
func sha512Of(b []byte) string { sum := sha512.Sum512(b); return hex.EncodeToString(sum[:]) }
func md5Of(b []byte) string    { sum := md5.Sum(b); return hex.EncodeToString(sum[:]) }

// fuzz reads whatever text as one format, from the samples and from scratch. No
// entry with a problem may carry what could be an apikey, all are bounded, and
// what is wrong never repeats much of the text.
func fuzz(f *testing.F, format string, samples ...string) {
	for _, name := range samples {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		entries := 0
		_, err := File{Format: format}.Read(strings.NewReader(text), func(e Entry, problem error) error {
			entries++
			if problem != nil && e.Key != "" {
				t.Fatal("an entry has a problem and an apikey")
			}
			if e.Hash != nil && problem == nil && e.Hash.Check() != nil {
				t.Fatal("a hash is taken that cannot be checked")
			}
			if len(e.Label)+len(e.Owner)+len(e.Contact) > 3*maxText || len(e.Scopes) > maxScopes || e.Line < 0 {
				t.Fatal("an entry is not bounded")
			}
			return nil
		})
		if err != nil && len(err.Error()) > 400 {
			t.Fatalf("the error is long: %v", err)
		}
		if entries > 2*len(text)+2 {
			t.Fatalf("%d entries in %d bytes", entries, len(text))
		}
	})
}

func FuzzAuto(f *testing.F) { fuzz(f, Auto, "hashes.csv", "aws.csv", "envoy-clients.txt") }
func FuzzCSV(f *testing.F)  { fuzz(f, CSV, "hashes.csv", "aws.csv") }
func FuzzKong(f *testing.F) {
	fuzz(f, Kong, "kong-nested.yaml", "kong-flat.json", "kong-consumer.yaml")
}
func FuzzTyk(f *testing.F)      { fuzz(f, Tyk, "tyk.json", "tyk-hashed.json") }
func FuzzAPISIX(f *testing.F)   { fuzz(f, APISIX, "apisix.yaml", "apisix-admin.json") }
func FuzzNginx(f *testing.F)    { fuzz(f, Nginx, "nginx.conf") }
func FuzzEnvoy(f *testing.F)    { fuzz(f, Envoy, "envoy.yaml", "envoy-clients.txt") }
func FuzzAWS(f *testing.F)      { fuzz(f, AWS, "aws.json", "aws.csv") }
func FuzzUnkey(f *testing.F)    { fuzz(f, Unkey, "unkey-list.json", "unkey-migrate.json") }
func FuzzHtpasswd(f *testing.F) { fuzz(f, Htpasswd, "htpasswd.txt") }

func FuzzJSONL(f *testing.F) {
	f.Add(`{"key":"a","owner":"b"}`)
	f.Add("{\"hash\":\"" + strings.Repeat("ab", 32) + "\",\"scopes\":[\"a\",\"b\"]}\n{}")
	fuzz(f, JSONL)
}

func FuzzHash(f *testing.F) {
	for _, tt := range hashForms {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text, HashForm{})
		if err == nil && h.Check() != nil {
			t.Fatal("a hash is taken that cannot be checked")
		}
	})
}

func TestDocumentsAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"deep JSON": strings.Repeat("[", 100_000), "deep YAML": "consumers: " + strings.Repeat("[", 10_000),
		"aliases of aliases": "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + func() (s string) {
			for c := 'b'; c < 'k'; c++ {
				s += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 10) + "]\n"
			}
			return s
		}(),
		"an alias of itself": "consumers: &a [*a]",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := (File{Format: Kong}).Read(strings.NewReader(text), func(Entry, error) error { return nil }); err == nil {
				t.Error("it is read")
			}
		})
	}
}
