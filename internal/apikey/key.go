// Package apikey is one legacy key: its fingerprint, where it travels (Carrier),
// whose it is, and how far its retirement has gone (Stage). The key itself is
// never kept: only its HMAC and its last four characters.
//
// Which calls an apikey made is package traffic; what they may do is policy.
package apikey

import (
	"cmp"
	"errors"
	"sync"
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
}

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
