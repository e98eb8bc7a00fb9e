package session

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/secret"
)

// Device waits, somewhere without a browser, for a person who answers in one
// (RFC 8628 §3.1). It is not a Request: it has no browser of its own, and what
// brings the two together is a code that the person types.
type Device struct {
	// ID is "gr_…": what comes of the Device is one grant of this id.
	ID       string
	Code     secret.Hash // of the device_code; alone it opens nothing
	UserCode string      // as NewUserCode made it
	ClientID string
	Ask      Ask // its UserCode is as it is shown
	Bound    Binding
	Origin   Origin
	Created  time.Time
	Expires  time.Time
	Interval time.Duration // between two polls, at least
	Polled   time.Time     // the last poll that got nothing; zero: none
	Answer   *Answer       // nil: not answered
}

// Binding is the key that the device proved to hold when it asked: whoever polls
// must hold it too. The zero value is none.
type Binding struct {
	JKT     string `json:"jkt,omitempty"`      // RFC 9449 §10.1
	X5TS256 string `json:"x5t#S256,omitempty"` // RFC 8705 §3.1
}

// Origin is where a device asked from. It is shown to whoever types the code:
// a stranger's device is mostly somewhere else (RFC 8628 §5.4, RFC 10027).
type Origin struct {
	Source    netip.Addr `json:"source,omitzero"`
	UserAgent string     `json:"user_agent,omitempty"` // as it says, cleaned and cut
}

// Times of a Device.
const (
	DeviceLife     = 10 * time.Minute
	DeviceInterval = 5 * time.Second
	// slower is added by each slow_down (RFC 8628 §3.5), up to slowest: whoever
	// polls on and on is then answered without anything being written.
	slower  = 5 * time.Second
	slowest = time.Minute
	// DeviceKept is how long an expired Device is still known, to be told apart
	// from one that never was.
	DeviceKept = 10 * time.Minute
)

// What a store answers about devices.
var (
	ErrNoDevice    = errors.New("no such device waits")
	ErrUserCode    = errors.New("the user code is taken")
	ErrManyDevices = errors.New("too many devices wait")
)

// DeviceLimits bound how many devices wait at one time.
type DeviceLimits struct {
	PerClient, All int
}

// NewDeviceID makes the ID of a Device.
func NewDeviceID() string { return "gr_" + uuid.Must(uuid.NewV7()).String() }

// userCodeLetters are the consonants of RFC 8628 §6.1: they spell no word, none
// looks like another or like a digit, and all are on every keyboard.
const userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"

// userCodeLength gives 20^8, which is 34.5 bits. Decision 0040 says why that is
// enough.
const userCodeLength = 8

// NewUserCode makes a user code without separator. Every letter is as likely as
// the others: a random byte of 240 or more is drawn again.
func NewUserCode() string {
	code := make([]byte, 0, userCodeLength)
	var random [16]byte
	for len(code) < userCodeLength {
		_, _ = rand.Read(random[:]) // never fails, crypto/rand
		for _, b := range random {
			if b < 240 && len(code) < userCodeLength {
				code = append(code, userCodeLetters[b%20])
			}
		}
	}
	return string(code)
}

// ShowUserCode is a user code as people read it: XXXX-XXXX.
func ShowUserCode(code string) string {
	if len(code) != userCodeLength {
		return code
	}
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}

// ReadUserCode is the code in what a person typed, in whatever case and with
// whatever separators (RFC 8628 §6.1). ok is false where no code can be meant,
// which needs no look-up.
func ReadUserCode(typed string) (code string, ok bool) {
	const most = 64 // bytes
	if len(typed) > most {
		return "", false
	}
	code = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		case r < 0x80 || strings.ContainsRune("\u00a0\u2010\u2011\u2012\u2013\u2014\u2212", r):
			return -1 // any separator, and the dashes that editors make of one
		}
		return r
	}, typed)
	ok = len(code) == userCodeLength && strings.Trim(code, userCodeLetters) == ""
	return code, ok
}

// Poll notes that the device asked at now and there was no answer yet. It
// reports whether it asked too soon: then it has to wait longer from now on
// (RFC 8628 §3.5). changed is false where there is nothing to keep.
func (d *Device) Poll(now time.Time) (tooSoon, changed bool) {
	tooSoon = !d.Polled.IsZero() && now.Before(d.Polled.Add(d.Interval-pollSkew))
	switch {
	case !tooSoon:
		d.Polled = now
	case d.Interval >= slowest:
		return true, false
	default:
		d.Interval, d.Polled = min(d.Interval+slower, slowest), now
	}
	return tooSoon, true
}

// pollSkew forgives a network that delivers one poll later and the next one
// sooner.
const pollSkew = 500 * time.Millisecond

// Expired reports whether nobody may answer the device any more, and it gets
// nothing.
func (d *Device) Expired(now time.Time) bool { return !now.Before(d.Expires) }

// Until is when a device that gets the answer expires: one that was allowed
// something at the last moment has time to ask for it.
func (d *Device) Until(a Answer) time.Time {
	const fetch = 2 * slowest
	if until := a.At.Add(fetch); a.Allowed() && until.After(d.Expires) {
		return until
	}
	return d.Expires
}
