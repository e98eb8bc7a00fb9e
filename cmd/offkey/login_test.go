package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"
)

func TestAQRCodeIsDrawnWithItsMargin(t *testing.T) {
	code, err := qr.Encode("https://auth.example.com/device?user_code=BCDF-GHJK", qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range []bool{false, true} {
		drawn := (&terminal{Colour: colour}).drawQR(code)
		lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
		if want := (code.Size + 5) / 2; len(lines) != want {
			t.Errorf("%d lines, want %d", len(lines), want)
		}
		for i, line := range lines {
			line = strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[40;97m"), "\x1b[0m")
			if n := utf8.RuneCountInString(line); n != code.Size+4 {
				t.Errorf("line %d has %d modules", i, n)
			}
			if !strings.HasPrefix(line, "██") || !strings.HasSuffix(line, "██") || i == 0 && strings.Trim(line, "█") != "" {
				t.Errorf("line %d has no margin: %s", i, line)
			}
		}
		// The finder pattern: seven black modules in its first row, white between.
		row := []rune(strings.TrimPrefix(lines[1], "\x1b[40;97m"))
		if string(row[2:9]) != " ▄▄▄▄▄ " {
			t.Errorf("the corner is drawn as %q", string(row[2:9]))
		}
	}
}

func TestALoginFileThatIsNoneIsSaid(t *testing.T) {
	dir := t.TempDir()
	if l, err := readLogin(dir); l != nil || err != nil {
		t.Errorf("%v, %v", l, err)
	}
	for _, text := range []string{"", "{", "{}", `{"issuer":7}`} {
		if err := os.WriteFile(filepath.Join(dir, loginFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := readLogin(dir); l != nil || err == nil || !strings.Contains(err.Error(), loginFile) {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
}
