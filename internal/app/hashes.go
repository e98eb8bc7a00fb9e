package app

import (
	"context"
	"fmt"

	"github.com/offkey/offkey/internal/audit"
)

// pepperPlace is where the secret of an HMAC is sealed for.
func pepperPlace(name string) string { return "pepper of hashes " + name }

// keepPepper keeps the secret with which others made HMACs of apikeys.
func (a *App) keepPepper(ctx context.Context, name string, pepper []byte, actor string) error {
	return a.db.KeepPepper(ctx, name, a.data.master.Seal(pepper, pepperPlace(name)), audit.Event{Actor: actor, Action: "apikey.pepper_kept", Object: name})
}

// loadPeppers reads the secrets of HMACs. One that cannot be opened is left out:
// the apikeys that need it are learnt instead.
func (v *views) loadPeppers(ctx context.Context) error {
	sealed, err := v.db.Peppers(ctx)
	if err != nil {
		return fmt.Errorf("read the secrets of hashes: %w", err)
	}
	peppers := make(map[string][]byte, len(sealed))
	for name, raw := range sealed {
		if peppers[name], err = v.master.Open(raw, pepperPlace(name)); err != nil {
			v.log.Error("the secret of hashes cannot be opened", "name", name, "error", err)
			delete(peppers, name)
		}
	}
	v.apikeys.SetPeppers(peppers)
	return nil
}
