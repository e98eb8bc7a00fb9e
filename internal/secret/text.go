// Package secret holds credentials in forms that cannot leak by accident: text
// that does not print, hashes to store in its place, a keyed fingerprint for
// apikeys, generated secrets that a scanner recognises, and the master key that
// seals what must be read back.
//
// It knows nothing of clients, tokens or storage. Passwords of people are not
// its business: they need a slow hash, and everything here is fast because
// everything here has full entropy or a key of its own.
package secret

import (
	"errors"
	"fmt"
	"log/slog"
	"unsafe"
)

// placeholder is all that a Text ever shows of itself.
const placeholder = "[secret]"

// Text is a credential in memory. However it is printed, logged or encoded it
// reads "[secret]"; only Reveal returns the value. The zero Text is empty.
//
// It is a string taken apart: package fmt asks no method of what stands in an
// unexported field, and would print a string there. Texts are compared by
// what Same says of their Reveal, not by ==.
type Text struct {
	data   unsafe.Pointer // of the string's bytes
	length int
}

// NewText wraps s.
func NewText(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{unsafe.Pointer(unsafe.StringData(s)), len(s)}
}

// Reveal returns the credential itself. Whoever calls it answers for where the
// string goes next.
func (t Text) Reveal() string { return unsafe.String((*byte)(t.data), t.length) }

// IsZero reports whether there is no credential.
func (t Text) IsZero() bool { return t.length == 0 }

func (t Text) String() string   { return placeholder }
func (t Text) GoString() string { return placeholder }

// Format answers every verb, so that %x or %q of a Text shows no more than %s.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(placeholder)) }

// LogValue keeps the credential out of log/slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(placeholder) }

// MarshalText keeps the credential out of YAML and of map keys.
func (t Text) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// MarshalJSON keeps the credential out of JSON.
func (t Text) MarshalJSON() ([]byte, error) { return []byte(`"` + placeholder + `"`), nil }

// UnmarshalText reads the credential from JSON, YAML or a flag. It refuses the
// placeholder: a document that was printed and then edited would otherwise make
// "[secret]" a working credential.
func (t *Text) UnmarshalText(text []byte) error {
	if string(text) == placeholder {
		return errors.New(`"[secret]" stands where a secret was hidden: put the real value in, or a reference to it`)
	}
	*t = NewText(string(text))
	return nil
}
