package jose

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// DecodeClaims reads a JSON object into dst as security needs it: two members
// of one name are an error, "SUB" does not fill a field named "sub", and the
// text must be UTF-8 (RFC 8725 §3.7). encoding/json would take the last
// duplicate and any letter case. Unknown members are ignored.
func DecodeClaims(claims []byte, dst any) error {
	if _, ok := dst.(stdjson.Unmarshaler); ok { // it would be handed the bytes unchecked
		if err := checkObject(claims); err != nil {
			return err
		}
	}
	return decodeObject(claims, dst)
}

// checkObject reports whether raw is a JSON object without duplicate members at
// its top level.
func checkObject(raw []byte) error { return decodeObject(raw, &struct{}{}) }

func decodeObject(raw []byte, dst any) error {
	if start := bytes.TrimLeft(raw, " \t\r\n"); len(start) == 0 || start[0] != '{' {
		return errors.New("not a JSON object")
	}
	if !utf8.Valid(raw) {
		return errors.New("not UTF-8")
	}
	return plain(json.Unmarshal(raw, dst))
}

// plain takes the library's name out of its error texts, which callers read.
func plain(err error) error {
	if err == nil {
		return nil
	}
	text := strings.ReplaceAll(err.Error(), "go-jose/go-jose: ", "")
	return errors.New(strings.TrimPrefix(text, "json: "))
}

// Audience is an aud value: a string or an array of strings (RFC 7519 §4.1.3).
// Which of the two it was matters to those who accept one string only.
type Audience struct {
	Values   []string
	WasArray bool
}

// maxAudiences bounds the array.
const maxAudiences = 32

// Has reports whether value is among the audiences, compared octet by octet.
func (a Audience) Has(value string) bool { return slices.Contains(a.Values, value) }

// IsZero reports whether there was no aud.
func (a Audience) IsZero() bool { return len(a.Values) == 0 && !a.WasArray }

// UnmarshalJSON reads either form.
func (a *Audience) UnmarshalJSON(raw []byte) error {
	var one *string
	if err := json.Unmarshal(raw, &one); err == nil && one != nil {
		*a = Audience{Values: []string{*one}}
		return nil
	}
	var many []*string
	if err := json.Unmarshal(raw, &many); err != nil || many == nil {
		return errors.New("aud is neither a string nor an array of strings")
	}
	if len(many) > maxAudiences {
		return fmt.Errorf("aud has %d values, at most %d are read", len(many), maxAudiences)
	}
	values := make([]string, len(many))
	for i, v := range many {
		if v == nil {
			return errors.New("aud is neither a string nor an array of strings")
		}
		values[i] = *v
	}
	*a = Audience{Values: values, WasArray: true}
	return nil
}

// MarshalJSON writes a single value as a string, unless it came as an array.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a.Values) == 1 && !a.WasArray {
		return stdjson.Marshal(a.Values[0])
	}
	if a.Values == nil {
		return []byte("[]"), nil
	}
	return stdjson.Marshal(a.Values)
}

// NumericDate is a time as claims carry it: seconds since 1970, possibly with a
// fraction (RFC 7519 §2).
type NumericDate struct{ time time.Time }

// NewNumericDate returns t to the second.
func NewNumericDate(t time.Time) NumericDate { return NumericDate{t.UTC().Truncate(time.Second)} }

// Time returns the time in UTC; the zero time if there was no claim.
func (d NumericDate) Time() time.Time { return d.time }

// IsZero reports whether there was no claim.
func (d NumericDate) IsZero() bool { return d.time.IsZero() }

// maxNumericDate is the end of the year 9999. What lies beyond is a mistake
// (milliseconds, mostly) or an attempt to overflow.
const maxNumericDate = 253402300799

// UnmarshalJSON reads a JSON number. Strings, negative numbers and times after
// the year 9999 are refused.
func (d *NumericDate) UnmarshalJSON(raw []byte) error {
	text := string(bytes.TrimSpace(raw))
	if text == "" || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return errors.New("time is not a number of seconds since 1970")
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds >= 0 && seconds <= maxNumericDate {
		d.time = time.Unix(seconds, 0).UTC()
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > maxNumericDate {
		return errors.New("time is out of range: want seconds (not milliseconds) since 1970")
	}
	whole, fraction := math.Modf(f)
	d.time = time.Unix(int64(whole), int64(fraction*1e9)).UTC()
	return nil
}

// MarshalJSON writes whole seconds.
func (d NumericDate) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, d.time.Unix(), 10), nil
}
