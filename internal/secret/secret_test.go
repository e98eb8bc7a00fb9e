package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v3"
)

const hidden = "correct-horse-battery-staple"

func TestTextShowsItselfNowhere(t *testing.T) {
	type holder struct {
		Secret Text            `json:"secret" yaml:"secret"`
		List   []Text          `json:"list" yaml:"list"`
		Named  map[string]Text `json:"named" yaml:"named"`
	}
	text := NewText(hidden)
	all := holder{text, []Text{text}, map[string]Text{"a": text}}
	// fmt asks no method of what it finds behind an unexported field.
	hiddenAway := struct {
		text   Text
		holder *struct{ list []Text }
		named  map[string]struct{ text Text }
		any    any
	}{text, &struct{ list []Text }{[]Text{text}}, map[string]struct{ text Text }{"a": {text}}, holder{Secret: text}}
	outputs := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s", "%T %v"} {
		outputs["text "+verb] = fmt.Sprintf(verb, text)
		outputs["pointer "+verb] = fmt.Sprintf(verb, &text)
		outputs["struct "+verb] = fmt.Sprintf(verb, all)
		outputs["unexported "+verb] = fmt.Sprintf(verb, hiddenAway) + fmt.Sprintf(verb, *hiddenAway.holder)
	}
	outputs["Sprint"] = fmt.Sprint(text, all)
	outputs["error"] = fmt.Errorf("bad secret %v", text).Error()
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", text, "all", all, "hidden", hiddenAway)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", text, "all", all)
	if err := template.Must(template.New("").Parse("{{.Secret}} {{printf \"%s\" .Secret}}")).Execute(&b, all); err != nil {
		t.Fatal(err)
	}
	outputs["log and template"] = b.String()
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	outputs["JSON"] = string(raw)
	if raw, err = yaml.Marshal(all); err != nil {
		t.Fatal(err)
	}
	outputs["YAML"] = string(raw)
	for name, out := range outputs {
		if strings.Contains(out, "horse") || strings.Contains(out, fmt.Sprintf("%x", "horse")) || strings.Contains(out, fmt.Sprintf("%X", "horse")) {
			t.Errorf("%s shows the secret: %s", name, out)
		}
	}
	for _, name := range []string{"text %v", "text %x", "JSON", "YAML", "log and template"} {
		if !strings.Contains(outputs[name], "[secret]") {
			t.Errorf("%s does not say [secret]: %s", name, outputs[name])
		}
	}
	if text.Reveal() != hidden || text.IsZero() || !NewText("").IsZero() {
		t.Error("Reveal and IsZero look at the value")
	}
}

func TestTextIsRead(t *testing.T) {
	type holder struct {
		Secret Text `json:"secret" yaml:"secret"`
	}
	for _, tc := range []struct{ name, document, want string }{
		{"plain", `{"secret": "a b"}`, "a b"},
		{"with quotes", `{"secret": "a\"b"}`, `a"b`},
		{"left out", `{}`, ""},
		{"empty", `{"secret": ""}`, ""},
		{"null", `{"secret": null}`, ""},
	} {
		var j, y holder
		if err := json.Unmarshal([]byte(tc.document), &j); err != nil || j.Secret.Reveal() != tc.want {
			t.Errorf("%s: JSON gives %q, %v", tc.name, j.Secret.Reveal(), err)
		}
		if err := yaml.Unmarshal([]byte(tc.document), &y); err != nil || y.Secret.Reveal() != tc.want {
			t.Errorf("%s: YAML gives %q, %v", tc.name, y.Secret.Reveal(), err)
		}
	}
	var y holder
	if err := yaml.Unmarshal([]byte("secret: 0012"), &y); err != nil || y.Secret.Reveal() != "0012" {
		t.Errorf("digits in YAML give %q, %v", y.Secret.Reveal(), err)
	}
	if err := json.Unmarshal([]byte(`{"secret": 12}`), &holder{}); err == nil {
		t.Error("a JSON number is taken for a secret")
	}
	for name, err := range map[string]error{
		"JSON": json.Unmarshal([]byte(`{"secret":"[secret]"}`), &holder{}),
		"YAML": yaml.Unmarshal([]byte(`secret: "[secret]"`), &holder{}),
	} {
		if err == nil || !strings.Contains(err.Error(), "real value") {
			t.Errorf("%s: the placeholder is taken for a secret, or refused without saying why: %v", name, err)
		}
	}
}

func TestHash(t *testing.T) {
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180 example
	h := HashOf("abc")
	if h.String() != abc {
		t.Errorf("SHA-256 of abc is %s", h)
	}
	if long := strings.Repeat("a", 1000000); HashOf(long).String() != "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" { // FIPS 180 example
		t.Errorf("SHA-256 of a million a is %s", HashOf(long))
	}
	for n := range 600 { // around the size that is hashed off the heap
		s := strings.Repeat("x", n)
		if n > 0 && HashOf(s) == HashOf(s[1:]) {
			t.Fatalf("length %d collides", n)
		}
	}
	parsed, err := ParseHash(abc)
	if err != nil || !parsed.Equal(h) {
		t.Errorf("parsed as %s, %v", parsed, err)
	}
	for _, bad := range []string{"", abc[:63], abc + "0", strings.Replace(abc, "b", "g", 1), strings.Repeat(" ", 64)} {
		if got, err := ParseHash(bad); err == nil || !got.IsZero() {
			t.Errorf("%q is read as %s", bad, got)
		}
	}
	if (Hash{}).Equal(h) || h.IsZero() || !(Hash{}).IsZero() {
		t.Error("the zero hash is not the hash of abc")
	}
	flipped := h
	flipped[31] ^= 1
	if h.Equal(flipped) {
		t.Error("one bit apart is equal")
	}
	raw, err := json.Marshal(map[string]Hash{"h": h})
	if err != nil || string(raw) != `{"h":"`+abc+`"}` {
		t.Errorf("written as %s, %v", raw, err)
	}
	var back struct{ H Hash }
	if err := json.Unmarshal(raw, &back); err != nil || back.H != h {
		t.Errorf("read as %s, %v", back.H, err)
	}
	if err := json.Unmarshal([]byte(`{"h":"ba"}`), &back); err == nil {
		t.Error("two digits are read as a hash")
	}
}

func TestSame(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"a", "a", true}, {strings.Repeat("k", 5000), strings.Repeat("k", 5000), true},
		{"a", "", false}, {"", "a", false}, {"a", "b", false}, {"ab", "abc", false}, {"abc", "abd", false}, {"bbc", "abc", false},
		{"\x00", "\x80", false}, {"A", "a", false},
	} {
		if got := Same(tc.a, tc.b); got != tc.want {
			t.Errorf("Same(%q, %q) is %v", tc.a, tc.b, got)
		}
	}
}

func TestChecksumIsThatOfGitHub(t *testing.T) {
	// The example token of GitHub's article on its token format:
	// "ghp_" + 30 characters + 6 of checksum.
	const body, sum = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"
	if got := checksum(body); string(got[:]) != sum {
		t.Errorf("got %s, want %s", got, sum)
	}
	if got := checksum(""); string(got[:]) != "000000" {
		t.Errorf("nothing has checksum %s, want zeros: it is padded on the left", got)
	}
}

func TestGeneratedSecrets(t *testing.T) {
	seen := map[string]bool{}
	counts := map[byte]int{}
	for range 2000 {
		for _, kind := range []string{KindClientSecret, KindRegistrationToken} {
			s := Generate(kind).Reveal()
			if !strings.HasPrefix(s, "offkey_"+kind+"_") || len(s) != len("offkey_cs_")+43+6 || !WellFormed(s) {
				t.Fatalf("%q is not as it should be", s)
			}
			if seen[s] {
				t.Fatal("generated twice")
			}
			seen[s] = true
			for _, c := range []byte(s[10 : 10+43]) {
				counts[c]++
			}
		}
	}
	// 172,000 characters, 2,774 of each: 6 standard deviations are about 315.
	for i := range len(base62) {
		if n := counts[base62[i]]; n < 2774-315 || n > 2774+315 {
			t.Errorf("%q occurs %d times, want about 2774", base62[i], n)
		}
	}
	for _, kind := range []string{"", "CS", "c_s", "ninechars", "é"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("kind %q does not panic", kind)
				}
			}()
			Generate(kind)
		}()
	}
}

func TestWellFormed(t *testing.T) {
	good := Generate(KindClientSecret).Reveal()
	at := len(good) - 20
	other := byte('a')
	if good[at] == 'a' {
		other = 'b'
	}
	for _, tc := range []struct {
		name, s string
		want    bool
	}{
		{"generated", good, true},
		{"another kind keeps the checksum, which is of the body alone", strings.Replace(good, "_cs_", "_xyz9_", 1), true},
		{"empty", "", false},
		{"prefix alone", "offkey_", false},
		{"kind alone", "offkey_cs_", false},
		{"one character changed", good[:at] + string(other) + good[at+1:], false},
		{"one character less", good[:len(good)-1], false},
		{"one character more", good + "0", false},
		{"surrounding space", good + " ", false},
		{"another prefix", strings.Replace(good, "offkey_", "offkez_", 1), false},
		{"upper case kind", strings.Replace(good, "_cs_", "_CS_", 1), false},
		{"no kind", strings.Replace(good, "_cs_", "__", 1), false},
		{"a long kind", strings.Replace(good, "_cs_", "_ninechars_", 1), false},
		{"a character outside base62, with its checksum", func() string {
			body := strings.Repeat("-", 43)
			sum := checksum(body)
			return "offkey_cs_" + body + string(sum[:])
		}(), false},
		{"a legacy apikey", "sk_live_0123456789abcdef", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := WellFormed(tc.s); got != tc.want {
				t.Errorf("WellFormed(%q) is %v", tc.s, got)
			}
		})
	}
	if allocs := testing.AllocsPerRun(100, func() { WellFormed(good) }); allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}

func FuzzWellFormed(f *testing.F) {
	f.Add(Generate(KindClientSecret).Reveal())
	f.Add("offkey_cs_")
	f.Add("offkey__________________________________________________________")
	f.Fuzz(func(t *testing.T, s string) {
		if WellFormed(s) && (len(s) < 58 || !strings.HasPrefix(s, "offkey_") || strings.ContainsAny(s, " \n\"-")) {
			t.Errorf("%q is well formed", s)
		}
	})
}

func TestLast4(t *testing.T) {
	for s, want := range map[string]string{
		"":                   "",
		"ab":                 "",
		"abc":                "c",
		"abcdefg":            "fg",
		"abcdefgh":           "gh",
		"abcdefghijk":        "ijk",
		"abcdefghijkl":       "ijkl",
		"sk_live_0123456789": "6789",
		"schlüsselüüüü":      "üüüü",
		"0123456789ab\x1b[m": "b?[m",
		"0123456789ab\xff\n": "ab??",
		"0123456789ab\u202e": "9ab?",
	} {
		if got := Last4(s); got != want {
			t.Errorf("Last4(%q) is %q, want %q", s, got, want)
		}
	}
}

func testPepper(t testing.TB) *Pepper {
	t.Helper()
	p, err := NewPepper([]byte(strings.Repeat("p", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMasterKeySealsAndOpens(t *testing.T) {
	raw, err := GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, plaintext := range []string{"", "x", hidden, strings.Repeat("long", 5000)} {
		sealed := m.Seal([]byte(plaintext), "signing key a")
		if sealed[0] != sealVersion || strings.Contains(string(sealed), "horse") {
			t.Error("version byte first, plaintext nowhere")
		}
		if string(sealed) == string(m.Seal([]byte(plaintext), "signing key a")) {
			t.Error("sealed twice alike: the nonce is not random")
		}
		got, err := m.Open(sealed, "signing key a")
		if err != nil || string(got) != plaintext {
			t.Errorf("opened as %q, %v", got, err)
		}
	}

	sealed := m.Seal([]byte(hidden), "signing key a")
	if _, err := m.Open(sealed, "signing key b"); !errors.Is(err, ErrAltered) {
		t.Errorf("moved to another place: got %v", err)
	}
	for i := range sealed {
		changed := append([]byte(nil), sealed...)
		changed[i] ^= 0x80
		if got, err := m.Open(changed, "signing key a"); err == nil {
			t.Errorf("byte %d changed, opened as %q", i, got)
		}
	}
	for n := range sealed {
		if _, err := m.Open(sealed[:n], "signing key a"); !errors.Is(err, ErrAltered) {
			t.Errorf("cut to %d bytes: got %v", n, err)
		}
	}
	newer := append([]byte{sealVersion + 1}, sealed[1:]...)
	if _, err := m.Open(newer, "signing key a"); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("another version: got %v", err)
	}
}

func TestWrongMasterKeyIsToldApart(t *testing.T) {
	first, err := NewMasterKey([]byte(strings.Repeat("1", 32)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewMasterKey([]byte(strings.Repeat("2", 32)))
	if err != nil {
		t.Fatal(err)
	}
	if first.ID() == second.ID() || len(first.ID()) != 16 {
		t.Errorf("ids %s and %s", first.ID(), second.ID())
	}
	again, err := NewMasterKey([]byte(strings.Repeat("1", 32)))
	if err != nil || again.ID() != first.ID() {
		t.Errorf("the id is not stable: %s, %v", again.ID(), err)
	}
	_, err = second.Open(first.Seal([]byte(hidden), ""), "")
	if !errors.Is(err, ErrWrongKey) || !strings.Contains(err.Error(), first.ID()) || !strings.Contains(err.Error(), second.ID()) {
		t.Errorf("got %v, want ErrWrongKey with both ids", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		if got := fmt.Sprintf(verb, first); got != "[secret]" {
			t.Errorf("%s shows %s", verb, got)
		}
	}
	for _, n := range []int{0, 16, 31, 33, 64} {
		if _, err := NewMasterKey(make([]byte, n)); err == nil {
			t.Errorf("%d bytes are a master key", n)
		}
	}
}

func TestDerivedKeysAreIndependent(t *testing.T) {
	m, err := NewMasterKey([]byte(strings.Repeat("1", 32)))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{string(m.raw[:]): "the master key itself", string(m.Derive("seal")): "seal"}
	for _, label := range []string{"", "audit", "snapshot", "snapshot ", "pepper"} {
		derived := m.Derive(label)
		if len(derived) != 32 {
			t.Errorf("%q has %d bytes", label, len(derived))
		}
		if other, there := seen[string(derived)]; there {
			t.Errorf("%q is the same as %q", label, other)
		}
		seen[string(derived)] = label
		if string(derived) != string(m.Derive(label)) {
			t.Errorf("%q is not stable", label)
		}
	}
}

func TestFromIsTheSameForTheSameSeed(t *testing.T) {
	a, b := From("rf", []byte("seed of full entropy, as it were")).Reveal(), From("rf", []byte("seed of full entropy, as it were")).Reveal()
	if a != b || !WellFormed(a) || !strings.HasPrefix(a, "offkey_rf_") {
		t.Errorf("%s and %s", a, b)
	}
	if c := From("rf", []byte("another seed")).Reveal(); c == a {
		t.Error("two seeds, one secret")
	}
}
