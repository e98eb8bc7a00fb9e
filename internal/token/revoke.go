package token

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The kinds of a Revocation.
const (
	RevokeToken  = "token"  // one token, by its jti
	RevokeClient = "client" // what a client was issued until Before
	RevokeAPIKey = "apikey" // what an apikey was exchanged for until Before

	RevokeGrant   = "grant"   // everything that came of one grant, by its id
	RevokePerson  = "person"  // what was issued for a person until Before
	RevokeSession = "session" // what was issued in a browser session, by its sid
	RevokeConsent = "consent" // what a client was issued for a person until Before, by ConsentID
	RevokeAll     = "all"     // everything issued until Before; its ID is All
)

// All is the ID of the one revocation of everything.
const All = "*"

// ConsentID is the ID of a RevokeConsent: what one person allowed one client.
func ConsentID(personID, clientID string) string { return personID + " " + clientID }

// Revocation says that tokens are refused although they are signed and have not
// expired. It is never taken back; it may be forgotten at Expires, when the
// last token that it is about has expired.
type Revocation struct {
	Kind string
	ID   string // jti, or the id of what Kind names
	// Before is for clients, apikeys, people, consents and everything: tokens
	// issued at that second or earlier are refused.
	Before  time.Time
	Expires time.Time
}

// Revocations is every live Revocation, in memory, to be asked during a call.
// It is made from the store and told of each new one. Its zero value is empty
// and ready. Safe for concurrent use.
type Revocations struct {
	generation atomic.Uint64
	mu         sync.RWMutex
	byKind     map[string]map[string]Revocation
}

// Add takes more revocations in. Since nothing is ever taken back, adding the
// whole list of the store again is right too, in whatever order lists arrive.
func (r *Revocations) Add(more ...Revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKind == nil {
		r.byKind = make(map[string]map[string]Revocation)
	}
	changed := false
	for _, v := range more {
		of := r.byKind[v.Kind]
		if of == nil {
			of = make(map[string]Revocation)
			r.byKind[v.Kind] = of
		}
		old, there := of[v.ID]
		if there && !v.Before.After(old.Before) && !v.Expires.After(old.Expires) {
			continue
		}
		if old.Before.After(v.Before) {
			v.Before = old.Before
		}
		if old.Expires.After(v.Expires) {
			v.Expires = old.Expires
		}
		of[v.ID] = v
		changed = true
	}
	if changed {
		r.generation.Add(1) // while locked: whoever sees the new number sees the new list
	}
}

// Prune forgets what has expired at now.
func (r *Revocations) Prune(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range r.byKind {
		maps.DeleteFunc(of, func(_ string, v Revocation) bool { return v.Expires.Before(now) })
	}
}

// Generation changes with every Add that brings something new.
func (r *Revocations) Generation() uint64 { return r.generation.Load() }

// Len is how many revocations are held.
func (r *Revocations) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := 0
	for _, of := range r.byKind {
		n += len(of)
	}
	return n
}

// Revoked reports whether a token that says c is revoked.
func (r *Revocations) Revoked(c Claims) bool { return r.revoked(&c) }

func (r *Revocations) revoked(c *Claims) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if _, there := r.byKind[RevokeToken][c.ID]; there {
		return true
	}
	if r.by(RevokeClient, c.ClientID, c.IssuedAt) || r.by(RevokeAPIKey, c.APIKeyID, c.IssuedAt) ||
		r.by(RevokePerson, c.PersonID, c.IssuedAt) || r.by(RevokeAll, All, c.IssuedAt) {
		return true
	}
	if r.byConsent(c, c.ClientID) || c.From != "" && (r.by(RevokeClient, c.From, c.IssuedAt) || r.byConsent(c, c.From)) {
		return true
	}
	if jti, ok := strings.CutPrefix(c.GrantID, ofToken); ok {
		if _, there := r.byKind[RevokeToken][jti]; there {
			return true
		}
	}
	_, grant := r.byKind[RevokeGrant][c.GrantID]
	_, session := r.byKind[RevokeSession][c.Session]
	return grant && c.GrantID != "" || session && c.Session != ""
}

// byConsent reports whether the person of a token has taken back what they
// allowed a client.
func (r *Revocations) byConsent(c *Claims, clientID string) bool {
	return len(r.byKind[RevokeConsent]) > 0 && c.PersonID != "" && r.by(RevokeConsent, ConsentID(c.PersonID, clientID), c.IssuedAt)
}

// by reports whether what id was issued at that time is revoked.
func (r *Revocations) by(kind, id string, issued time.Time) bool {
	v, there := r.byKind[kind][id]
	return there && id != "" && !issued.After(v.Before)
}
