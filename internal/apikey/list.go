package apikey

import "time"

// Filter chooses the apikeys of a list. Its zero value takes all in the order of
// their ids, a page at a time.
type Filter struct {
	IDs         []string  // nil is any; ids that are not there are left out
	Stages      []Stage   // the apikey's own stage is one of these; none is any
	Owner       string    // "" is any
	NoOwner     bool      // only those without one
	UnusedSince time.Time // no call since then; zero is any
	Where       string    // seen in such a place: a kind, or a carrier; "" is any
	Since       time.Time // how far back Where looks
	Sort        Order
	Limit       int    // the most that one page holds; 0 is a hundred
	After       string // the cursor that the page before gave, "" for the first
}

// Order is what a list is sorted by; among equals the ids decide.
type Order string

// The orders of a list.
const (
	SortID        Order = ""
	SortCalls     Order = "calls"      // the most first
	SortLastUsed  Order = "last_used"  // the latest first
	SortFirstUsed Order = "first_used" // the earliest first
	SortOwner     Order = "owner"
)

// ImportResult says what an import has changed. The three add up to the number
// of apikeys given.
type ImportResult struct {
	Added     int `json:"added"`
	Updated   int `json:"updated"`
	Unchanged int `json:"unchanged"`
}

// Contained is what was stopped with a leaked apikey, and what was not.
type Contained struct {
	Clients []string `json:"clients"` // made with it since the leak, now disabled
	Kept    []string `json:"kept"`    // made with it before, still working
}

// Use is when an apikey was seen in traffic. Times are zero where it never was.
type Use struct {
	First time.Time `json:"first_used,omitzero"`
	Last  time.Time `json:"last_used,omitzero"`
	// LastOK is the last call that the API answered with success.
	LastOK time.Time `json:"last_ok,omitzero"`
	// LastBrowser is the last call that a page in a browser made, LastPlain the
	// last that came without TLS.
	LastBrowser time.Time `json:"last_browser,omitzero"`
	LastPlain   time.Time `json:"last_no_tls,omitzero"`
	Calls       int64     `json:"calls"` // of the days that a list looks back
}
