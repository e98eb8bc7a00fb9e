package apikey

import "time"

// Extension is an exception that was granted to one apikey: until its end the
// apikey passes, whatever becomes of its cohort or of all. It ends by itself.
type Extension struct {
	Until   time.Time `json:"until,omitzero"`
	Granted time.Time `json:"granted,omitzero"`
	By      string    `json:"by,omitempty"` // who granted it, as the audit names them
	Reason  string    `json:"reason,omitempty"`
	// Taken is when whoever holds the apikey took the extension that callers may
	// take by themselves; once is all there is.
	Taken time.Time `json:"taken,omitzero"`
}

// Holds reports whether the exception is in force at a moment.
func (e Extension) Holds(at time.Time) bool { return at.Before(e.Until) }
