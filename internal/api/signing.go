package api

import (
	"context"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
)

// Keyring is what the management of signing keys asks of package keyring.
type Keyring interface {
	Current() *keyring.Ring
	Rotate(ctx context.Context, immediately bool, e audit.Event) (keyring.Key, error)
	Drop(ctx context.Context, id string, e audit.Event) error
}

// SigningStore lists every signing key, dropped ones included.
type SigningStore interface {
	SigningKeys(ctx context.Context) ([]keyring.Key, error)
}

// The states of a signing key.
const (
	signingNext      = "next"      // published, signs later
	signingNow       = "signing"   // signs
	signingPublished = "published" // signs no more, its tokens are still believed
	signingRetired   = "retired"   // of the past
	signingDropped   = "dropped"   // withdrawn in an emergency
)

type signingAnswer struct {
	KID      string         `json:"kid"`
	Alg      jose.Algorithm `json:"alg"`
	State    string         `json:"state"`
	Created  time.Time      `json:"created"`
	SignFrom time.Time      `json:"sign_from"`
	Dropped  time.Time      `json:"dropped,omitzero"`
	DryRun   bool           `json:"dry_run,omitempty"`
}

func (s *Server) showSigning(k keyring.Key) signingAnswer {
	now, ring := s.now(), s.o.Keyring.Current()
	a := signingAnswer{KID: k.ID, Alg: k.Alg, State: signingRetired, Created: k.Created, SignFrom: k.SignFrom, Dropped: k.Dropped}
	signer, err := ring.SignerFor(k.Alg, now)
	_, published := ring.Find(k.ID, now)
	switch {
	case !k.Dropped.IsZero():
		a.State = signingDropped
	case err == nil && signer.ID() == k.ID:
		a.State = signingNow
	case k.SignFrom.After(now):
		a.State = signingNext
	case published:
		a.State = signingPublished
	}
	return a
}

func (s *Server) listSigning(r *http.Request) (any, error) {
	q, err := readQuery(r, "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	stored, err := s.store.SigningKeys(r.Context())
	if err != nil {
		return nil, err
	}
	keys := make([]signingAnswer, len(stored))
	for i, k := range stored {
		keys[i] = s.showSigning(k)
	}
	part, next, err := page(keys, func(a signingAnswer) string { return a.KID }, limit, q.text("after"))
	if err != nil {
		return nil, err
	}
	return struct {
		Keys []signingAnswer `json:"keys"`
		Next *string         `json:"next"`
	}{orNone(part), next}, nil
}

type signingRotation struct {
	// Immediately skips the time in which the new key is published and does not
	// sign yet: whoever caches the JWK set refuses new tokens meanwhile.
	Immediately bool `json:"immediately"`
}

func (s *Server) rotateSigning(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[signingRotation](r)
	if err != nil {
		return nil, err
	}
	if dryRun {
		return map[string]any{"dry_run": true, "immediately": p.Immediately}, nil
	}
	k, err := s.o.Keyring.Rotate(r.Context(), p.Immediately, event(r, "signing_key.rotated", "", p))
	if err != nil {
		return nil, err
	}
	return s.showSigning(k), nil
}

func (s *Server) dropSigning(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	stored, err := s.store.SigningKeys(r.Context())
	if err != nil {
		return nil, err
	}
	k, err := pick("signing key", r.PathValue("kid"), stored, func(k keyring.Key) (id, name string) { return k.ID, "" })
	if err != nil {
		return nil, err
	}
	if !k.Dropped.IsZero() {
		return nil, problem(http.StatusConflict, "dropped", "", "signing key %s was dropped at %s", k.ID, k.Dropped.Format(time.RFC3339))
	}
	a := s.showSigning(k)
	if a.DryRun = dryRun; dryRun {
		return a, nil
	}
	if err := s.o.Keyring.Drop(r.Context(), k.ID, event(r, "signing_key.dropped", k.ID, nil)); err != nil {
		return nil, err
	}
	a.State, a.Dropped = signingDropped, s.now()
	return a, nil
}
