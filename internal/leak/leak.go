// Package leak is one leaked credential on record: what got out, where it was
// found, what was stopped because of it, who was told, and when. A Record only
// grows: taking a block back is a line of it too.
//
// What a credential did is found out by package migration, what strangers may
// report by authserver. The credential itself is never here.
package leak

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/apikey"
)

// The kinds of what can leak.
const (
	KindAPIKey = "apikey"
	KindClient = "client" // the secret of a client
	KindToken  = "token"  // an access or a refresh token
)

// Who says that something has leaked.
const (
	ByOperator = "operator"
	ByReport   = "report" // whoever came to the public endpoint
	ByGitHub   = "github" // secret scanning
)

// Subject is what leaked, by the names under which offkey knows it.
type Subject struct {
	Kind  string `json:"kind"`
	ID    string `json:"id"`              // of the apikey, or of the client whose secret or token it is
	Part  string `json:"part,omitempty"`  // credential id, jti or grant id
	Grant bool   `json:"grant,omitempty"` // Part is a grant: the refresh token leaked
	Last4 string `json:"last4,omitempty"`
}

// Status is how far the answer to a leak has come.
type Status string

const (
	Open      Status = "open" // known, and not stopped
	Contained Status = "contained"
	Notified  Status = "notified" // contained, and its owner told
	Replaced  Status = "replaced" // and its owner has something else
	Closed    Status = "closed"
)

// Record is one leak.
type Record struct {
	ID      string    `json:"id"`
	Subject Subject   `json:"subject"`
	Owner   string    `json:"owner"`
	By      string    `json:"by"`              // who said so first
	Where   string    `json:"where,omitempty"` // where it was found, as the reporter says
	Since   time.Time `json:"since,omitzero"`  // when it may have got out; zero: nobody knows
	Opened  time.Time `json:"opened"`

	ContainedAt time.Time `json:"contained_at,omitzero"`
	NotifiedAt  time.Time `json:"notified_at,omitzero"`
	ReplacedBy  string    `json:"replaced_by,omitempty"` // a client
	ClosedAt    time.Time `json:"closed_at,omitzero"`

	// What containing changed, to be taken back.
	Before   apikey.Stage `json:"before"`           // the apikey's own stage
	Disabled []string     `json:"clients_disabled"` // clients that were active
	Kept     []string     `json:"clients_kept"`     // made with the apikey before Since, still working

	Reports  int     `json:"reports"` // how often it was said
	Timeline []Entry `json:"timeline"`
}

// Entry is one line of a timeline.
type Entry struct {
	At    time.Time `json:"at"`
	Actor string    `json:"actor"`
	What  string    `json:"what"`
}

// Filter chooses the records of a list, newest first.
type Filter struct {
	OpenOnly bool
	Before   string // the cursor that the page before gave
	Limit    int
}

// What a store answers about leaks.
var (
	ErrNotFound = errors.New("no such leak")
	ErrClosed   = errors.New("the leak is closed")
)

// Bounds of a Record.
const (
	maxTimeline = 200
	maxText     = 300 // characters
)

// NewID makes the id of a record: sortable by time.
func NewID() string { return "lk_" + uuid.Must(uuid.NewV7()).String() }

// Status is how far it has come. What is not contained is open, whoever was told.
func (r *Record) Status() Status {
	switch {
	case !r.ClosedAt.IsZero():
		return Closed
	case r.ContainedAt.IsZero():
		return Open
	case r.ReplacedBy != "":
		return Replaced
	case !r.NotifiedAt.IsZero():
		return Notified
	}
	return Contained
}

// Note adds a line to the timeline. In a full one the newest line gives way: the
// beginning is what is asked about later.
func (r *Record) Note(at time.Time, actor, what string) {
	if len(r.Timeline) >= maxTimeline {
		r.Timeline = r.Timeline[:maxTimeline-1]
	}
	r.Timeline = append(r.Timeline, Entry{at.UTC(), actor, OneLine(what)})
}

// OneLine is what is kept of somebody else's text.
func OneLine(s string) string {
	var b strings.Builder
	n := 0
	for _, c := range strings.TrimSpace(s) {
		if n++; n > maxText {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(c) || unicode.Is(unicode.Bidi_Control, c) {
			c = '?'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Opening is what a store is asked to put on record.
type Opening struct {
	Record  *Record // of which ID, Subject, By, Where, Since and the first line are looked at
	Contain bool
	Actor   string
	// Quiet leaves no audit entry where it only says what was known already:
	// strangers may come again and again.
	Quiet bool
}

// Reported is a credential that somebody outside says has leaked.
type Reported struct {
	Credential string
	Where      string // a URL, as they say
}
