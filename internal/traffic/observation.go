// Package traffic is what was seen: one Observation per call, without its
// secrets, and the counts they are folded into. What the calls mean for the
// retirement of keys is migration's; whether they were allowed is policy's.
package traffic

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// The kinds of credential that a call is counted under.
const (
	KindAPIKey  = "apikey"
	KindClient  = "client"
	KindNone    = "none"
	KindUnknown = "unknown" // an apikey that offkey does not know, never told apart
)

// Credential is what a call is counted under: an id, never the credential.
type Credential struct {
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
}

// Known reports whether the credential has an id of its own to count under.
func (c Credential) Known() bool { return c.ID != "" }

// Observation is one call as recorded, and as read from a line of a traffic
// file. Path is the canonical path; queries are kept by name only.
type Observation struct {
	At         time.Time    `json:"at"`
	Credential Credential   `json:"credential"`
	Method     string       `json:"method"`
	Path       string       `json:"path"`
	QueryNames []string     `json:"query_names,omitempty"`
	Status     int          `json:"status"`
	UserAgent  string       `json:"user_agent,omitempty"`
	Source     netip.Prefix `json:"source,omitzero"` // network of the caller, never its address
	Carrier    string       `json:"carrier,omitempty"`
	// Outcome is offkey's own part in the answer: "" when it had none,
	// "denied:CODE" when it refused, "shadow:CODE" when it would have.
	Outcome string `json:"outcome,omitempty"`
	// Browser says that a page in a browser made the call: it had an Origin or
	// fetch metadata, which only browsers send.
	Browser bool `json:"browser,omitempty"`
	// Plain says that the call came without TLS, for certain.
	Plain bool `json:"no_tls,omitempty"`
}

// SourceOf is the network that an address is recorded as: its /24, or its /48
// for IPv6.
func SourceOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	p, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Row is the count of all calls of one hour that look the same.
type Row struct {
	Hour       time.Time // truncated to the hour, UTC
	Credential Credential
	Method     string
	Template   string
	Status     int
	UserAgent  string
	Source     netip.Prefix
	Carrier    string
	Outcome    string
	Calls      int64
	First      time.Time
	Last       time.Time
	// Browser and Plain say that one of the calls was so. They tell no rows
	// apart: a store keeps them with the use of the apikey.
	Browser, Plain bool
}

// StatusUnknown is the status of a call that a proxy passed on after asking about
// it: what the API answered is not seen.
const StatusUnknown = 0

// Denied reports whether offkey refused.
func (r Row) Denied() bool { return strings.HasPrefix(r.Outcome, "denied:") }

// Day is the count of all calls of one day (UTC) with one kind of credential:
// "apikey:" and where it travels, "client:" and how it proves itself, "none",
// "unknown".
type Day struct {
	Day     time.Time `json:"day"`
	Kind    string    `json:"kind"`
	Calls   int64     `json:"calls"`
	Refused int64     `json:"refused"` // of these, by offkey
}

// OK reports whether the API answered with success.
func (r Row) OK() bool { return r.Status >= 200 && r.Status < 300 }

// MayBeOK reports whether it did, or may have. What its caller needs is told by
// these calls; that a credential is good is not.
func (r Row) MayBeOK() bool { return MayBeOK(r.Status) }

// MayBeOK is Row.MayBeOK for a status by itself. A 304 is a success, of a call
// that asked for no more.
func MayBeOK(status int) bool {
	return status >= 200 && status < 300 || status == http.StatusNotModified || status == StatusUnknown
}
