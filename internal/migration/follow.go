package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
)

// ErrTooManyGone is a list that lacks so many of the apikeys which it had before
// that it is more likely broken than true. Nothing of it has happened.
var ErrTooManyGone = errors.New("too many apikeys of the followed list are gone")

// A followed list may lose a fifth of its apikeys at once, or five.
const (
	mostGoneShare = 5
	mostGoneFew   = 5
)

// goneFrom finds the apikeys that the followed list had and no longer has.
func (r *Road) goneFrom(ctx context.Context, o ImportOptions, lines []importedKey) (gone []string, err error) {
	if o.Follow == "" {
		return nil, nil
	}
	there := map[string]bool{}
	for _, l := range lines {
		known, err := r.Store.ImportedAPIKey(ctx, l.apikey(r, o.Follow))
		if errors.Is(err, apikey.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		there[known.ID] = true
	}
	followed := 0
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if k.Source == o.Follow && !k.Suspended {
			if followed++; !there[k.ID] {
				gone = append(gone, k.ID)
			}
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if !o.Force && (len(lines) == 0 && followed > 0 || len(gone) > max(followed/mostGoneShare, mostGoneFew)) {
		return nil, fmt.Errorf("%w: %d of %d", ErrTooManyGone, len(gone), followed)
	}
	return gone, nil
}

// suspendGone suspends what goneFrom has found: it counts as unknown from now
// on, until its list has it again.
func (r *Road) suspendGone(ctx context.Context, o ImportOptions, gone []string) error {
	for chunk := range slices.Chunk(gone, importChunk) {
		_, err := r.Store.UpdateAPIKeys(ctx, chunk, func(k *apikey.Key) error {
			k.Suspended = true
			return nil
		}, audit.Event{Actor: o.Actor, Action: "apikey.gone", Object: fmt.Sprintf("%d apikeys", len(chunk)), Detail: map[string]any{"list": o.Follow, "apikeys": chunk}})
		if err != nil {
			return fmt.Errorf("import: suspend what is gone: %w", err)
		}
	}
	return nil
}
