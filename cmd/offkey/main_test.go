package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes `offkey` a command in PATH, which is this test binary under
// another name: a test can run as many processes as it needs.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"offkey": main})
}

// ran is what a command did.
type ran struct {
	code     int
	out, err string
}

// invocation is a command line with what surrounds it.
type invocation struct {
	stdin string
	env   map[string]string
}

// offkey runs a command in this process.
func offkey(t *testing.T, args ...string) ran {
	t.Helper()
	return invocation{}.offkey(t, args...)
}

func (i invocation) offkey(t *testing.T, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errOut bytes.Buffer
	code := run(ctx, args, strings.NewReader(i.stdin), &out, &errOut, func(name string) string { return i.env[name] })
	return ran{code, out.String(), errOut.String()}
}

// want fails the test unless the command ended as expected, with the words
// given on one stream or the other.
func (r ran) want(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.out, r.err)
	}
	for _, word := range words {
		if !strings.Contains(r.out+r.err, word) {
			t.Errorf("no %q in\nstdout: %s\nstderr: %s", word, r.out, r.err)
		}
	}
}

// decode reads the one JSON document that stdout must be.
func decode[T any](t *testing.T, r ran) T {
	t.Helper()
	var v T
	decoder := json.NewDecoder(strings.NewReader(r.out))
	if err := decoder.Decode(&v); err != nil || decoder.More() {
		t.Fatalf("stdout is not one JSON document (%v): %s", err, r.out)
	}
	return v
}

// failureOf reads the one error object that stderr must be.
func failureOf(t *testing.T, r ran) shownError {
	t.Helper()
	var document errorDocument
	decoder := json.NewDecoder(strings.NewReader(r.err))
	if err := decoder.Decode(&document); err != nil || decoder.More() {
		t.Fatalf("stderr is not one JSON object (%v): %s", err, r.err)
	}
	return document.Error
}

func TestSecretsAreNeverArguments(t *testing.T) {
	const apikey = "sk_live_0123456789abcdef"
	for name, args := range map[string][]string{
		"an argument too many":  {"upgrade", "--api", "https://api.example.com", apikey},
		"a flag of our own":     {"upgrade", "--api", "https://api.example.com", "--apikey", apikey},
		"the same with =":       {"upgrade", "--api", "https://api.example.com", "--apikey=" + apikey},
		"value of a bool":       {"upgrade", "--api", "https://api.example.com", "--apikey-stdin=" + apikey},
		"with --json":           {"upgrade", "--json", "--api", "https://api.example.com", apikey},
		"secret of a client":    {"token", "--issuer", "https://a.example", "--client", "c", "--secret", apikey},
		"secret of a client, =": {"token", "--issuer", "https://a.example", "--client", "c", "--secret=" + apikey},
	} {
		t.Run(name, func(t *testing.T) {
			r := offkey(t, args...)
			r.want(t, exitUsage)
			if strings.Contains(r.out+r.err, apikey) {
				t.Errorf("the error repeats it: %s%s", r.out, r.err)
			}
		})
	}
}

func TestWrongUsage(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"half a command":            {[]string{"people"}, "expected one of"},
		"unknown command":           {[]string{"upgrad"}, "offkey --help"},
		"upgrade of nothing":        {[]string{"upgrade"}, "--api"},
		"two places for the apikey": {[]string{"upgrade", "--api", "https://a.example", "--apikey-stdin", "--apikey-file", "f"}, "can't be used together"},
		"language unknown":          {[]string{"upgrade", "--api", "https://a.example", "--lang", "cobol"}, "--lang"},
		"issuer without client":     {[]string{"token", "--issuer", "https://a.example"}, "--client"},
		"issuer without proof":      {[]string{"token", "--issuer", "https://a.example", "--client", "c"}, "--keyfile"},
		"key without issuer":        {[]string{"token", "--keyfile", "k.pem"}, "--issuer"},
		"scope with a quote":        {[]string{"token", "--issuer", "https://a.example", "--client", "c", "--keyfile", "k", "--scope", `"a"`}, "RFC 6749 §3.3"},
		"resource without scheme":   {[]string{"token", "--issuer", "https://a.example", "--client", "c", "--keyfile", "k", "--resource", "api"}, "RFC 8707 §2"},
		"format unknown":            {[]string{"token", "--format", "xml"}, "--format"},
		"call without URL":          {[]string{"call", "GET"}, "<url>"},
	} {
		t.Run(name, func(t *testing.T) {
			offkey(t, tc.args...).want(t, exitUsage, tc.want)
			r := offkey(t, append([]string{"--json"}, tc.args...)...)
			r.want(t, exitUsage)
			if f := failureOf(t, r); f.Code == "" || f.Message == "" || f.Fix == "" || r.out != "" {
				t.Errorf("error object %+v, stdout %q", f, r.out)
			}
		})
	}
}

func TestHelpIsData(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"upgrade", "--help"}, {"token", "--help"}} {
		r := offkey(t, args...)
		r.want(t, exitOK, "Usage: offkey")
		if r.err != "" || strings.Count(r.out, "\n") > 60 {
			t.Errorf("%v: stderr %q, %d lines", args, r.err, strings.Count(r.out, "\n"))
		}
	}
}

func TestWhatPeopleTryFirst(t *testing.T) {
	for typed, says := range map[string]string{"": "Run \"offkey <command> --help\"", "help": "Run \"offkey <command> --help\"", "help people": "People sign in; programs do not.", "--version": "offkey " + version} {
		r := offkey(t, strings.Fields(typed)...)
		if r.code != exitOK || !strings.Contains(r.out, says) || r.err != "" {
			t.Errorf("%q exits with %d and says\n%s%s", typed, r.code, r.out, r.err)
		}
	}
}

func TestInterruptedCommand(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errOut bytes.Buffer
	code := run(ctx, []string{"upgrade", "--api", "http://127.0.0.1:9", "--dry-run", "--dir", t.TempDir()}, strings.NewReader(""), &out, &errOut, os.Getenv)
	if code != exitInterrupted {
		t.Errorf("exit %d: %s", code, errOut.String())
	}
}

func TestColour(t *testing.T) {
	plain := func(string) string { return "" }
	if wantsColour(&bytes.Buffer{}, plain) {
		t.Error("colour without a terminal")
	}
	force := func(name string) string { return map[string]string{"CLICOLOR_FORCE": "1"}[name] }
	if !wantsColour(&bytes.Buffer{}, force) {
		t.Error("CLICOLOR_FORCE forces nothing")
	}
	both := func(name string) string { return map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}[name] }
	if wantsColour(&bytes.Buffer{}, both) {
		t.Error("colour with NO_COLOR")
	}
	var errOut bytes.Buffer
	(&terminal{Err: &errOut, Colour: true}).done("made")
	if got := errOut.String(); got != "\x1b[32m[done]\x1b[0m made\n" {
		t.Errorf("%q", got)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "''",
		"/home/a/key.pem":     "/home/a/key.pem",
		"https://a.example/?": "'https://a.example/?'",
		"a b":                 "'a b'",
		"it's":                `'it'\''s'`,
		"$(rm -rf /)":         "'$(rm -rf /)'",
		"a\nb":                "'a\nb'",
		"a!b":                 "'a!b'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
