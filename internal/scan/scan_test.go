package scan

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/secret"
)

// known is an offkey that knows some credentials.
type known struct {
	keys  map[string]Known
	asked int
}

func (k *known) Ends(last4 string) bool {
	for key := range k.keys {
		if secret.Last4(key) == last4 {
			return true
		}
	}
	return false
}

func (k *known) Identify(_ context.Context, candidates []string) (map[int]Known, error) {
	found := map[int]Known{}
	for i, c := range candidates {
		k.asked++
		if is, ok := k.keys[c]; ok {
			found[i] = is
		}
	}
	return found, nil
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func scanned(t *testing.T, s *Scanner, dir string) *Result {
	t.Helper()
	r, err := s.Path(t.Context(), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if s.Ask != nil {
		for key := range s.Ask.(*known).keys {
			if bytes.Contains(raw, []byte(key)) {
				t.Errorf("a credential is in the result: %s", raw)
			}
		}
	}
	return r
}

func places(r *Result) (out []string) {
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s:%d ...%s", f.Path, f.Line, f.Last4))
	}
	return out
}

func TestSecretsOfOffkeyAreFoundByTheirChecksum(t *testing.T) {
	dir := t.TempDir()
	one := secret.Generate(secret.KindClientSecret).Reveal()
	wrong := one[:len(one)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(one, "0")]
	write(t, dir, "a/config.yaml", "x: 1\nsecret: "+one+"\nother: "+wrong+"\n")
	write(t, dir, "b.py", `URL = "https://x.example/?s=`+one+`&y=1"`)
	write(t, dir, "image.png", "\x89PNG\x00"+one)
	s := &Scanner{Detectors: []Detector{Issued()}}
	r := scanned(t, s, dir)
	end := one[len(one)-4:]
	if want := []string{"a/config.yaml:2 ..." + end, "b.py:1 ..." + end}; !slices.Equal(places(r), want) {
		t.Errorf("found %v, want %v", places(r), want)
	}
	if r.Binary != 1 || r.Files != 3 || !r.Findings[0].Certain {
		t.Errorf("%+v", r)
	}
}

func TestWhatAnOffkeyKnowsIsFoundWhateverItsShape(t *testing.T) {
	dir := t.TempDir()
	keys := []string{"weird.key~2019/acme+prod==", "550e8400-e29b-41d4-a716-446655440000", "nightly-key-0123456789-aaaa"}
	k := &known{keys: map[string]Known{}}
	for i, key := range keys {
		k.keys[key] = Known{Kind: "apikey", ID: fmt.Sprint("ak_", i), Status: "observe"}
	}
	write(t, dir, "a.txt", "noise noise-noise noisenoise\nKEY='"+keys[0]+"' "+keys[1]+"\n\n"+strings.Repeat("nothing-here-0123 ", 1000)+"curl -H 'X-API-Key: "+keys[2]+"'\n")
	r := scanned(t, &Scanner{Ask: k}, dir)
	if want := []string{"a.txt:2 ...od==", "a.txt:2 ...0000", "a.txt:4 ...aaaa"}; !slices.Equal(places(r), want) {
		t.Errorf("found %v, want %v", places(r), want)
	}
	if f := r.Findings[1]; f.Known == nil || f.Known.ID != "ak_1" || !f.Certain || !f.Known.Live() {
		t.Errorf("%+v", f)
	}
	if k.asked > 20 {
		t.Errorf("asked about %d words", k.asked)
	}
}

func TestPackedLogsAreRead(t *testing.T) {
	dir := t.TempDir()
	one := secret.Generate(secret.KindClientSecret).Reveal()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for i := range 1000 {
		fmt.Fprintf(w, "203.0.113.7 - - \"GET /v1/x?n=%d\" 200\n", i)
	}
	fmt.Fprintf(w, "203.0.113.7 - - \"GET /v1/x?key=%s\" 200\n", one)
	_ = w.Close()
	write(t, dir, "access.log.1.gz", packed.String())
	write(t, dir, "broken.gz", packed.String()[:100])
	r := scanned(t, &Scanner{Detectors: []Detector{Issued()}}, dir)
	if want := []string{"access.log.1.gz:1001 ..." + one[len(one)-4:]}; !slices.Equal(places(r), want) {
		t.Errorf("found %v", places(r))
	}
	if len(r.Unread) != 1 || !strings.HasPrefix(r.Unread[0], "broken.gz") {
		t.Errorf("unread %v", r.Unread)
	}
}

func TestTheHistoryIsReadToo(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		if os.Getenv("OFFKEY_TEST_EXTRAS") == "1" {
			t.Fatal("git is missing: run `make setup`")
		}
		t.Skip("git is missing: run `make setup`, then this test runs too")
	}
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	gone, stays, said, branch := secret.Generate("cs").Reveal(), secret.Generate("cs").Reveal(), secret.Generate("cs").Reveal(), secret.Generate("cs").Reveal()
	run("init", "-q", "-b", "main")
	write(t, dir, "one.txt", "first\n")
	run("add", "-A")
	run("commit", "-qm", "begin")
	write(t, dir, "one.txt", "first\nkey "+gone+"\n")
	write(t, dir, "sub/two.txt", "\n\nkey "+stays+"\n")
	run("add", "-A")
	run("commit", "-qm", "oops "+said)
	leaked := run("rev-parse", "HEAD")
	write(t, dir, "one.txt", "first\nkey removed\n")
	run("commit", "-qam", "removed")
	run("checkout", "-q", "-b", "side", "HEAD~2")
	write(t, dir, "side.txt", branch)
	run("add", "-A")
	run("commit", "-qm", "aside")
	run("checkout", "-q", "main")
	s := &Scanner{Detectors: []Detector{Issued()}, Git: git}
	r := scanned(t, s, dir)
	got := map[string]string{}
	for _, f := range r.Findings {
		got[f.Path+" "+f.Last4] = fmt.Sprintf("%d %v %s", f.Line, f.InTree, f.Commit)
	}
	end := func(s string) string { return s[len(s)-4:] }
	for where, want := range map[string]string{
		"one.txt " + end(gone):      "2 false " + leaked,
		"sub/two.txt " + end(stays): "3 true " + leaked,
		"side.txt " + end(branch):   "1 false " + run("rev-parse", "side"),
	} {
		if got[where] != want {
			t.Errorf("%s: %q, want %q", where, got[where], want)
		}
	}
	if len(r.Findings) != 4 || r.History != "read" {
		t.Errorf("%d findings, history %s: %v", len(r.Findings), r.History, got)
	}
	if f := r.Findings[0]; f.Path != "(commit message)" || f.Commit != leaked {
		t.Errorf("in the message: %+v", f)
	}
}

func TestDetectorsAreDerivedFromAList(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	word := func(letters string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	const hex, base62 = "0123456789abcdef", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var keys []string
	for range 50 {
		keys = append(keys, "sk_live_"+word(base62, 24), word(hex, 32))
	}
	keys = append(keys, "once-only-and-nothing-like-it", "acme_"+word(base62, 20))
	all := Derive(keys)
	found := map[string]string{}
	for _, d := range all {
		found[d.Name] = fmt.Sprintf("%q %d-%d %s %d", d.Prefix, d.Min, d.Max, d.Alphabet, d.Keys)
	}
	for name, want := range map[string]string{
		"apikey sk_live": `"sk_live_" 24-24 base62 50`, "apikey 32 hex": `"" 32-32 hex 50`, "apikey acme": `"acme_" 20-20 base62 1`,
	} {
		if found[name] != want {
			t.Errorf("%s: %s, want %s (all: %v)", name, found[name], want, found)
		}
	}
	for _, d := range all {
		if d.Name == "apikey 32 hex" && !strings.Contains(d.Collides, "MD5") {
			t.Errorf("how collidable: %q", d.Collides)
		}
	}
	dir := t.TempDir()
	write(t, dir, "x", "a sk_live_"+word(base62, 24)+" b\nsk_live_short\n"+word(hex, 32)+"\n"+word(hex, 40)+"\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nsk_live_"+word(base62, 60)+"\n")
	r := scanned(t, &Scanner{Detectors: all}, dir)
	if len(r.Findings) != 2 || r.Findings[0].Line != 1 || r.Findings[1].Line != 3 || r.Findings[0].Certain {
		t.Errorf("found %v", places(r))
	}
}

func TestRulesFindWhatTheDetectorsFind(t *testing.T) {
	detectors := append([]Detector{Issued()}, Derive([]string{"sk_live_0123456789abcdefABCDEF01", "sk_live_1123456789abcdefABCDEF01", "00112233445566778899aabbccddeeff", "10112233445566778899aabbccddeeff"})...)
	for _, d := range detectors {
		re := regexp.MustCompile(`(?:^|[^0-9A-Za-z_-])(` + d.pattern() + `)(?:$|[^0-9A-Za-z_-])`)
		sample := map[bool]string{true: secret.Generate("cs").Reveal(), false: "sk_live_9123456789abcdefABCDEF01"}[d.Issued]
		if d.Prefix == "" {
			sample = "90112233445566778899aabbccddeeff"
		}
		if !re.MatchString("key='"+sample+"'") || re.MatchString("x"+sample+"y") || len(d.find(sample)) != 1 {
			t.Errorf("%s: %s does not fit %s", d.Name, d.pattern(), sample)
		}
	}
	for _, format := range RuleFormats {
		text, err := Rules(format, detectors)
		if err != nil || !strings.Contains(text, "sk_live_") || !strings.Contains(text, "offkey_[a-z0-9]{1,8}_") {
			t.Errorf("%s: %v\n%s", format, err, text)
		}
	}
	if _, err := Rules("other", nil); err == nil {
		t.Error("rules for another scanner")
	}
}

func TestAStreamIsReadInBoundedMemory(t *testing.T) {
	one := secret.Generate("cs").Reveal()
	const size = 64 << 20
	in := &endless{left: size, pattern: []byte(strings.Repeat("2026-11-28T00:00:00Z GET /v1/orders/12345?page=2 200 0.012 curl/8.7 ", 50) + "\n" + strings.Repeat("x", 5000) + " " + one + "\n")}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := (&Scanner{Detectors: []Detector{Issued()}}).Stream(t.Context(), in, "-")
	runtime.ReadMemStats(&after)
	if err != nil || len(r.Findings) != 1 || r.Bytes < size {
		t.Fatalf("%+v, %v", r, err)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 32<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
}

// endless repeats a pattern.
type endless struct {
	left    int
	pattern []byte
	at      int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, e.pattern[e.at:])
	e.at = (e.at + n) % len(e.pattern)
	e.left -= n
	return n, nil
}

func FuzzScan(f *testing.F) {
	one := secret.Generate("cs").Reveal()
	f.Add([]byte("a "+one+" b\n"), 3)
	f.Add([]byte("offkey_offkey_cs_"+one), 1)
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		s := &Scanner{Detectors: append([]Detector{Issued()}, Derive([]string{"sk_live_0123456789abcdef", "sk_live_0123456789abcdee"})...)}
		whole, err := s.Stream(t.Context(), bytes.NewReader(text), "-")
		if err != nil {
			t.Skip() // a packed stream that is broken
		}
		want := places(whole)
		again, err := s.Stream(t.Context(), &slow{text, 1 + abs(step)%7}, "-")
		if err != nil || !slices.Equal(places(again), want) {
			t.Errorf("read at once %v, by pieces %v, %v", want, places(again), err)
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}

// slow gives a few bytes at a time.
type slow struct {
	text []byte
	step int
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.text[:min(s.step, len(s.text))])
	s.text = s.text[n:]
	return n, nil
}
