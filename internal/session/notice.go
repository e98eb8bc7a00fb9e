package session

import "time"

// Notice is that a session has ended, to be told to one client that had to do
// with it (OIDC Back-Channel Logout §2.3). It is written with the end of the
// session, whatever ended it, and stays until the client has heard it or enough
// was tried.
type Notice struct {
	ID        string // the jti of what is sent
	ClientID  string
	SessionID string
	PersonID  string
	Created   time.Time
	Due       time.Time // when it is tried next
	Attempts  int       // so far
}

// noticePauses are the times between the attempts.
var noticePauses = []time.Duration{5 * time.Second, 30 * time.Second, 3 * time.Minute, 15 * time.Minute, time.Hour}

// Again is when a Notice is tried again after an attempt at now failed; ok is
// false when it was the last.
func (n Notice) Again(now time.Time) (due time.Time, ok bool) {
	if n.Attempts >= len(noticePauses) {
		return time.Time{}, false
	}
	return now.Add(noticePauses[n.Attempts]), true
}
