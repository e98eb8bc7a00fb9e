// Package session is what a browser has to do with people: the Session in which
// somebody signed in, and the Request that waits there until that person has
// answered it. authserver makes a Request and takes the Answer; signin gets the
// person to give it. Neither knows the other: they meet here.
package session

import (
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// Session is a browser in which a person has signed in.
type Session struct {
	ID       string      // "se_…": the sid of ID tokens, no credential
	Cookie   secret.Hash // of what the browser holds
	PersonID string
	Created  time.Time
	LastSeen time.Time
	Expires  time.Time // whatever happens
	// Idle is how long it lasts without being used.
	Idle      time.Duration
	UserAgent string // of the browser, to be recognised by its person
	Source    string // the network it was begun from
	Login
}

// Ended reports whether nobody is signed in there any more at now.
func (s Session) Ended(now time.Time) bool {
	return !now.Before(s.Expires) || s.Idle > 0 && !now.Before(s.LastSeen.Add(s.Idle))
}

// NewID makes the id of a Session.
func NewID() string { return "se_" + uuid.Must(uuid.NewV7()).String() }

// NewRequestID makes the id of a Request: 128 random bits.
func NewRequestID() string { return rand.Text() }

// What a store answers about a browser's things that are not there.
var (
	// ErrGone is a Request that was taken, answered otherwise, has expired, or
	// is another browser's: which of these is nobody's business.
	ErrGone = errors.New("no such request waits in this browser")
	// ErrNoSession is a Session that has ended or never was.
	ErrNoSession = errors.New("no such session")
)

// Login is how a person proved to be there, the last time.
type Login struct {
	AuthTime time.Time // whole seconds
	ACR      string    // one of the ACR constants
	AMR      []string  // RFC 8176: pwd, otp, hwk, mfa…
}

// The authentication context classes that this server knows, weakest first.
const (
	ACRPassword = "urn:offkey:acr:pwd"     // one factor that can be phished
	ACRMFA      = "urn:offkey:acr:mfa"     // two factors
	ACRPasskey  = "urn:offkey:acr:passkey" // a passkey with user verification: cannot be phished
)

// ACRValues are the classes, weakest first (OIDC Discovery §3 acr_values_supported).
var ACRValues = []string{ACRPassword, ACRMFA, ACRPasskey}

// Reaches reports whether a login of class have is as strong as want. A class
// that nobody knows is never reached.
func Reaches(have, want string) bool {
	i, j := slices.Index(ACRValues, have), slices.Index(ACRValues, want)
	return j >= 0 && i >= j
}

// The kinds of a Request.
const (
	ForClient  = "authorize" // an authorization request (RFC 6749 §4.1.1)
	ForDevice  = "device"    // a device that waits (RFC 8628 §3.3)
	ForAccount = "account"   // a page of our own: nothing is granted
	// ForLogout asks whether to sign out (OIDC RP-Initiated Logout §2). Where
	// nobody is signed in the answer is login_required at once.
	ForLogout = "logout"
)

// Request waits in one browser for the answer of a person.
type Request struct {
	ID       string      // 128 random bits, in URLs; alone it opens nothing
	Browser  secret.Hash // of the cookie of the browser that brought it: no other may answer
	Kind     string
	ClientID string
	// Return is the path on the issuer, with query, where the browser goes once
	// there is an Answer.
	Return  string
	Payload []byte // what the flow that made it keeps; nobody else reads it
	Demand  Demand
	Ask     Ask
	Created time.Time
	Expires time.Time
	// Progress is how far the person has come with it.
	Progress Progress
	Answer   *Answer // nil: not answered
}

// Bounds of a Request.
const (
	RequestLife = 30 * time.Minute
	// MaxPayload bounds Payload, in bytes.
	MaxPayload = 16 << 10
)

// RequestLimits bound how many requests wait at one time. Of more, the oldest go.
type RequestLimits struct {
	PerBrowser, All int
}

// Waiting names a Request by both that it takes to open it: its id, and the hash
// of the cookie of the browser that it waits in.
type Waiting struct {
	Request string
	Browser secret.Hash
}

// Progress is what a person has done in a Request so far.
type Progress struct {
	// PersonID has proved the first of two factors, and AMR says which.
	PersonID string   `json:"person_id,omitempty"`
	AMR      []string `json:"amr,omitempty"`
	// Both says that PersonID has proved the second factor too, and has to add a
	// stronger one.
	Both bool `json:"both,omitempty"`
	// Wrong counts second factors that were not right.
	Wrong int `json:"wrong,omitempty"`
	// SessionID is the Session that the person signed in to, or chose to go on
	// with, while this waited: it is as fresh as can be asked.
	SessionID string `json:"session_id,omitempty"`
	// Chosen says that the person chose to go on with it without signing in.
	Chosen bool `json:"chosen,omitempty"`
}

// Demand is what the sign-in must be for the Request.
type Demand struct {
	Prompt    []string  `json:"prompt,omitempty"`     // none, login, consent, select_account (OIDC Core §3.1.2.1)
	Since     time.Time `json:"since,omitzero"`       // the login must not be older: of max_age and prompt=login
	ACRValues []string  `json:"acr_values,omitempty"` // the first that can be reached is aimed at
	Essential bool      `json:"essential,omitempty"`  // one of ACRValues must be reached (RFC 9470 §4, OIDC Core §5.5.1.1)
	PersonID  string    `json:"person_id,omitempty"`  // it must be this person (id_token_hint)
	LoginHint string    `json:"login_hint,omitempty"` // put into the name field
	Locales   []string  `json:"ui_locales,omitempty"` // preferred languages
}

// Meets reports whether a session's login satisfies d. Prompts ask for more than
// that: see Prompts.
func (d Demand) Meets(s Session) bool {
	switch {
	case d.PersonID != "" && d.PersonID != s.PersonID:
		return false
	case s.AuthTime.Before(d.Since):
		return false
	case d.Essential && !slices.ContainsFunc(d.ACRValues, func(want string) bool { return Reaches(s.ACR, want) }):
		return false
	}
	return true
}

// Prompts reports whether the request asked for that prompt.
func (d Demand) Prompts(value string) bool { return slices.Contains(d.Prompt, value) }

// Ask is what the person is asked to allow.
type Ask struct {
	Scope     oauth.Scope `json:"scope,omitempty"`
	Resources []string    `json:"resources,omitempty"`
	// RedirectHost is where the answer goes, shown because a client may look
	// like another.
	RedirectHost string `json:"redirect_host,omitempty"`
	// RedirectScheme is that of where the answer goes, "" for https: browsers
	// are told that a form may lead there.
	RedirectScheme string `json:"redirect_scheme,omitempty"`
	UserCode       string `json:"user_code,omitempty"` // of a device
}

// Answer is what the person said, or why there is no person.
type Answer struct {
	PersonID  string      `json:"person_id,omitempty"`
	SessionID string      `json:"session_id,omitempty"`
	Login     Login       `json:"login,omitzero"`
	Scope     oauth.Scope `json:"scope,omitempty"` // what was allowed: asked ∩ client's ∩ person's
	// Error is the code for the client where it was not allowed: access_denied,
	// login_required, consent_required, interaction_required,
	// unmet_authentication_requirements (OIDC Core §3.1.2.6, RFC 9470 §4).
	Error       string    `json:"error,omitempty"`
	Description string    `json:"description,omitempty"` // beside Error, for the client's developer
	At          time.Time `json:"at"`
}

// Allowed reports whether the person allowed something.
func (a *Answer) Allowed() bool { return a != nil && a.Error == "" && a.PersonID != "" }
