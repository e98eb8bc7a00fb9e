package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// How a command ends, for the shell.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2   // the command line is wrong
	exitCancelled   = 3   // a person said no
	exitSignIn      = 4   // there is no identity yet: upgrade or login first
	exitUnmet       = 6   // a condition that was asked for is not met
	exitInterrupted = 130 // Ctrl-C
)

// terminal is where a command reads and speaks: data goes to Out, words go to
// Err, and with JSON there are no words but one error object.
type terminal struct {
	In       io.Reader
	Out, Err io.Writer
	JSON     bool
	Colour   bool
	Env      func(string) string
	Now      func() time.Time
}

// failure is an error with its exit code, and what a person can do about it.
type failure struct {
	exit               int
	code, message, fix string
	err                error
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.err }

// wrongUsage is the failure of a command line that cannot be meant.
func wrongUsage(message, fix string) *failure {
	return &failure{exit: exitUsage, code: "wrong_usage", message: message, fix: fix}
}

// failed is a failure of what was tried.
func failed(code, message, fix string, err error) *failure {
	return &failure{exit: exitFailed, code: code, message: message, fix: fix, err: err}
}

// say writes words for a person.
func (t *terminal) say(format string, args ...any) {
	if !t.JSON {
		fmt.Fprintf(t.Err, format+"\n", shown(args)...)
	}
}

// painted is a text of our own with colours in it.
type painted string

// shown takes out of texts what would do more than show: any may be a
// stranger's, such as a label, or a description that an issuer has sent.
func shown(args []any) []any {
	out := slices.Clone(args)
	for i, arg := range out {
		switch v := arg.(type) {
		case string:
			out[i] = printableLines(v)
		case error:
			out[i] = printableLines(v.Error())
		}
	}
	return out
}

// printableLines is printable for a text of several lines: those after the
// first are set in, so that none passes for one of ours.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = printable(strings.TrimSuffix(line, "\r"))
	}
	return strings.Join(lines, "\n  ")
}

// done, warn and skip report a step; the word stands beside the colour.
func (t *terminal) done(format string, args ...any) { t.step("32", "done", format, args...) }
func (t *terminal) warn(format string, args ...any) { t.step("33", "warn", format, args...) }
func (t *terminal) skip(format string, args ...any) { t.step("36", "skip", format, args...) }

func (t *terminal) step(colour, word, format string, args ...any) {
	t.say("%s "+format, append([]any{painted(t.paint(colour, "["+word+"]"))}, args...)...)
}

func (t *terminal) paint(colour, s string) string {
	if !t.Colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// document writes the one JSON document of a command.
func (t *terminal) document(v any) error {
	encoder := json.NewEncoder(t.Out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// errorDocument is an error as scripts read it.
type errorDocument struct {
	Error shownError `json:"error"`
}

type shownError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix"`
}

// fail shows an error once and returns the exit code.
func (t *terminal) fail(err error) int {
	if err == nil {
		return exitOK
	}
	f := asFailure(err)
	if t.JSON {
		encoder := json.NewEncoder(t.Err)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(errorDocument{shownError{f.code, f.message, f.fix}})
		return f.exit
	}
	fmt.Fprintf(t.Err, "%s %s\n", t.paint("31", "error:"), printableLines(f.message))
	if f.fix != "" {
		fmt.Fprintf(t.Err, "  fix: %s\n", printableLines(f.fix))
	}
	return f.exit
}

// asFailure translates an error once, at the edge.
func asFailure(err error) *failure {
	var own *failure
	if errors.As(err, &own) {
		return own
	}
	if errors.Is(err, context.Canceled) {
		return &failure{exit: exitInterrupted, code: "interrupted", message: "interrupted"}
	}
	var pending *oauthclient.PendingError
	if errors.As(err, &pending) {
		return &failure{exit: exitUnmet, code: "upgrade_needs_approval", message: pending.Message, fix: pending.Fix}
	}
	var e *oauthclient.Error
	if !errors.As(err, &e) {
		return failed("failed", err.Error(), "", err)
	}
	f := failed(e.Code, e.Message, e.Fix, err)
	if e.Doing != "" {
		f.message = "cannot " + e.Doing + ": " + e.Message
	}
	switch {
	case e.Code == "bad_config":
		f.exit = exitUsage
	case e.Code == "no_client" && errors.Is(err, fs.ErrNotExist):
		f.exit = exitSignIn
	}
	return f
}

// wantsColour follows NO_COLOR, CLICOLOR_FORCE and TERM; without them colour is
// for terminals only.
func wantsColour(w io.Writer, env func(string) string) bool {
	switch {
	case env("NO_COLOR") != "":
		return false
	case env("CLICOLOR_FORCE") != "" && env("CLICOLOR_FORCE") != "0":
		return true
	}
	return env("TERM") != "dumb" && isTerminal(w)
}

// isTerminal reports whether a person is at the other end.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a device, and nobody at it
	return err != nil || !os.SameFile(info, null)
}

// shellQuote writes s as one word of a POSIX shell.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
