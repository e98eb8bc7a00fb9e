// Package apikey is one legacy key: its fingerprint, where it travels (Carrier),
// whose it is, and how far its retirement has gone (Stage). The key itself is
// never kept: only its HMAC and its last four characters.
//
// Which calls an apikey made is package traffic; what they may do is policy.
package apikey

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/secret"
)

// KnownBy says who vouches that an apikey is real.
type KnownBy string

const (
	// KnownByUpstream is an apikey that the API itself answered with success.
	KnownByUpstream KnownBy = "upstream"
	// KnownByImport is an apikey that an operator brought in.
	KnownByImport KnownBy = "imported"
	// KnownByHTTP and KnownBySQL are apikeys that a service or table was asked
	// about, and is asked again.
	KnownByHTTP KnownBy = "http"
	KnownBySQL  KnownBy = "sql"
)

// Key is one legacy key as offkey knows it.
type Key struct {
	ID          string      `json:"id"`
	Fingerprint secret.Hash `json:"-"` // HMAC-SHA-256 under the pepper
	Last4       string      `json:"last4"`
	Label       string      `json:"label,omitempty"`
	Owner       string      `json:"owner,omitempty"`
	Contact     string      `json:"contact,omitempty"` // mail address of the owner
	KnownBy     KnownBy     `json:"known_by"`

	Stage      Stage     `json:"stage"` // Inherit: takes the stage of all
	StageSince time.Time `json:"stage_since,omitzero"`
	Until      time.Time `json:"until,omitzero"`      // announced end, zero when none is
	Suspended  bool      `json:"suspended,omitempty"` // learnt, then refused by the API with 401
	ClientID   string    `json:"client_id,omitempty"` // the client it is mapped to

	Prefix    string    `json:"prefix,omitempty"`   // what it begins with, as far as that says only its kind
	Cohort    string    `json:"cohort,omitempty"`   // that it was put into by name; "" is none
	Extension Extension `json:"extension,omitzero"` // an exception, in force or over

	Created time.Time `json:"created"`
	Revoked time.Time `json:"revoked,omitzero"` // when it was retired or blocked by an operator's word

	// What an import has said beside its owner.
	Scopes  string    `json:"scopes,omitempty"` // that its source grants it, separated by spaces
	Expires time.Time `json:"expires,omitzero"` // at its source
	Source  string    `json:"source,omitempty"` // the list that it is followed by
	// Hash is all that is known of the apikey until a call brings it; nil after.
	Hash *Hashed `json:"-"`
}

// Merged is what an import of an apikey makes of the one that is known: it says
// only what it knows, and whoever imports vouches from now on. One that its list
// has again is no longer suspended.
func Merged(is, imported Key) Key {
	m := is
	for _, field := range []struct{ to, from *string }{
		{&m.Label, &imported.Label}, {&m.Owner, &imported.Owner}, {&m.Contact, &imported.Contact}, {&m.Last4, &imported.Last4},
		{&m.Scopes, &imported.Scopes}, {&m.Source, &imported.Source}, {&m.Prefix, &imported.Prefix},
	} {
		if *field.from != "" {
			*field.to = *field.from
		}
	}
	if !imported.Expires.IsZero() {
		m.Expires = imported.Expires
	}
	if is.KnownBy != KnownByImport {
		m.KnownBy, m.Suspended = KnownByImport, false // what the API thinks of it no longer counts
	}
	if imported.Source != "" {
		m.Suspended = false
	}
	return m
}

// Disowned reports whether the source that vouched for the apikey no longer has
// it. It then counts as one that nobody knows.
func (k *Key) Disowned() bool { return k.Suspended && k.KnownBy != KnownByUpstream }

// NewID makes the id of an apikey: sortable by time, and not derived from the
// key.
func NewID() string { return "ak_" + uuid.Must(uuid.NewV7()).String() }

// Bucket names the rate-limit bucket of the apikey's calls: that of the client
// that it is mapped to, so that limits follow a caller through the upgrade.
func (k *Key) Bucket() string { return cmp.Or(k.ClientID, k.ID) }

// Index finds apikeys by fingerprint during a call. It is safe for concurrent
// use; the Keys in it are never changed, only replaced.
type Index struct {
	mu   sync.RWMutex
	byFP map[secret.Hash]*Key
	byID map[string]*Key

	hashes hashes
	hashed atomic.Int64 // apikeys of which only a hash is known
}

// NewIndex makes an Index that holds keys.
func NewIndex(keys ...*Key) *Index {
	x := &Index{byFP: make(map[secret.Hash]*Key, len(keys)), byID: make(map[string]*Key, len(keys))}
	for _, k := range keys {
		x.Put(k)
	}
	return x
}

// Lookup returns the apikey with that fingerprint, or nil.
func (x *Index) Lookup(fingerprint secret.Hash) *Key {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byFP[fingerprint]
}

// ByID returns the apikey with that id, or nil.
func (x *Index) ByID(id string) *Key {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byID[id]
}

// Put adds k or replaces what was there under its id or its fingerprint. An
// apikey without a fingerprint is found by its id only, never by a call.
func (x *Index) Put(k *Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(x.byID[k.ID])
	if !k.Fingerprint.IsZero() {
		x.forget(x.byFP[k.Fingerprint])
		x.byFP[k.Fingerprint] = k
	}
	x.byID[k.ID] = k
	if k.Hash != nil {
		x.hashes.put(k)
		x.hashed.Add(1)
	}
}

// Recognise returns the apikey that value is by a hash of it that is quickly
// computed, or nil. Where no hash is known it costs nothing.
func (x *Index) Recognise(value string) *Key {
	if x.hashed.Load() == 0 {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.hashes.find(value)
}

// Candidates returns the apikeys that value may be, each of which takes a
// computation of its own to tell, in the order of their ids: at most limit of
// those after one.
func (x *Index) Candidates(value, after string, limit int) (keys []*Key) {
	if x.hashed.Load() == 0 {
		return nil
	}
	x.mu.RLock()
	for id, k := range x.hashes.slow {
		if id > after && k.Hash.Fits(value) {
			keys = append(keys, k)
		}
	}
	x.mu.RUnlock()
	slices.SortFunc(keys, func(a, b *Key) int { return strings.Compare(a.ID, b.ID) })
	return keys[:min(len(keys), limit)]
}

// Hashed is the number of apikeys of which only a hash is known.
func (x *Index) Hashed() int { return int(x.hashed.Load()) }

// SetPeppers gives the secrets of HMACs by their names.
func (x *Index) SetPeppers(peppers map[string][]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hashes.peppers = peppers
}

// Pepper is the secret of an HMAC, nil if it is not there.
func (x *Index) Pepper(name string) []byte {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.hashes.peppers[name]
}

// Delete forgets the apikey with that id.
func (x *Index) Delete(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.forget(x.byID[id])
}

// forget takes k out. Its fingerprint may by now be another apikey's, deleted
// here and brought in again: that one stays.
func (x *Index) forget(k *Key) {
	if k == nil {
		return
	}
	delete(x.byID, k.ID)
	if k.Hash != nil {
		x.hashes.forget(k)
		x.hashed.Add(-1)
	}
	if x.byFP[k.Fingerprint] == k {
		delete(x.byFP, k.Fingerprint)
	}
}

// Len is the number of apikeys held.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byID)
}

// ErrNotFound is what a store answers about an apikey that is not there.
var ErrNotFound = errors.New("no such apikey")
