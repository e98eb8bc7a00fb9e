package directory

import (
	"errors"
	"strings"
	"testing"
)

func TestPasswordPolicy(t *testing.T) {
	p := &Person{Name: "Ana.Lopez", Email: "alopez1978@example.com"}
	for _, tc := range []struct {
		name, password string
		ok             bool
	}{
		{"ten characters", "vX3 tree o", true},
		{"a passphrase without digits or signs", "paper boats in the harbour", true},
		{"ten characters of two bytes", "åßçðéƒñøœ¥", true},
		{"256 characters", strings.Repeat("ab cd.", 42) + "wxyz", true},
		{"nine characters", "vX3 tree!", false},
		{"257 characters", strings.Repeat("ab cd.", 42) + "wxyz!", false},
		{"256 characters of many bytes", strings.Repeat("道路 x地", 40), true},
		{"empty", "", false},
		{"the name", "ana.lopez!", false},
		{"the name in other letters", "ANA.LOPEZ1", false},
		{"the name twice", "ana.lopezana.lopez", false},
		{"the address", "alopez1978@example.com", false},
		{"the part before the @", "alopez1978", false},
		{"with a year behind", "ana.lopez1978", false},
		{"with words behind is another", "ana.lopez likes boats", true},
		{"one of the commonest", "password123", false},
		{"one of the commonest in other letters", "PassWord123", false},
		{"one of the commonest with signs behind", "password1!!", false},
		{"digits in a row", "1234567890", false},
		{"digits in a row backwards", "9876543210", false},
		{"letters in a row", "abcdefghij", false},
		{"keys in a row", "qwertyuiop", false},
		{"keys in a row backwards", "poiuytrewq", false},
		{"one character", "aaaaaaaaaaaa", false},
		{"two characters", "abababababab", false},
		{"three characters", "abcabcabcabc", false},
		{"no text", "\xff\xfe0123456789", false},
		{"with NUL", "paper\x00boats", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := CheckPassword(p, tc.password)
			if (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrPassword) {
				t.Fatalf("%v", err)
			}
			if err != nil && len(tc.password) > 8 && strings.Contains(err.Error(), tc.password) {
				t.Errorf("the error repeats it: %v", err)
			}
		})
	}
	if err := CheckPassword(nil, "paper boats"); err != nil {
		t.Errorf("of nobody in particular: %v", err)
	}
}

func TestTheListHoldsWhatCanBeCompared(t *testing.T) {
	if len(common()) < 100 {
		t.Fatalf("it has %d lines", len(common()))
	}
	for password := range common() {
		if plain := PlainPassword(password); plain != password {
			t.Errorf("%q is compared as %q and so never found", password, plain)
		}
	}
}

// OWASP ASVS 6.2.4: three thousand that the length would let through.
func TestTheListIsLongSortedAndCostsNothing(t *testing.T) {
	n := len(leaked) / markLength
	if n < 20_000 || len(leaked)%markLength != 0 {
		t.Fatalf("%d bytes", len(leaked))
	}
	for i := 1; i < n; i++ {
		if leaked[(i-1)*markLength:i*markLength] >= leaked[i*markLength:(i+1)*markLength] {
			t.Fatalf("mark %d is not after the one before", i)
		}
	}
	for _, password := range []string{"q1w2e3r4t5", "basketball", "liverpoolfc", "MyPassword", "Manchester!", "1qaz2wsx3edc", "motherlode", "sunshine1!!", "trustno1!!", "charlie123"} {
		if err := CheckPassword(nil, password); !errors.Is(err, ErrPassword) {
			t.Errorf("%s is let through", password)
		}
	}
	if made := testing.AllocsPerRun(100, func() { isCommon("paper boats in the harbour") }); made > 1 {
		t.Errorf("%v allocations", made)
	}
}

func TestNoPasswordIsMadeOfTheWordsOfThePlace(t *testing.T) {
	d := New(Options{Words: func() []string { return []string{"Harbour Boats", "auth.example.com", "io", ""} }})
	for password, ok := range map[string]bool{
		"harbour boats": false, "HarbourBoats2026!": false, "auth.example.com": false, "harbour boats in the morning": true, "io1234567893": true, "8273649155": true, "paper boats in the harbour": true,
	} {
		if err := d.CheckNew(nil, password); (err == nil) != ok {
			t.Errorf("%s: %v", password, err)
		}
	}
}

func FuzzCheckPassword(f *testing.F) {
	f.Add("ana", "ana@example.com", "paper boats")
	f.Add("", "@", "")
	f.Fuzz(func(t *testing.T, name, email, password string) {
		if err := CheckPassword(&Person{Name: name, Email: email}, password); err == nil && (len(password) < ShortestPassword || len(password) > longestPassphrase) {
			t.Errorf("%q is taken", password)
		}
	})
}
