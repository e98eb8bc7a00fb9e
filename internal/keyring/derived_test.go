package keyring

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/secret"
)

func TestDerivedKeysFollowFromTheMasterKeyAndTheWeek(t *testing.T) {
	raw, err := secret.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC)
	now := func() time.Time { return at }
	one, other := NewDerived(master, "calls", now), NewDerived(master, "calls", now)
	signer, err := one.Signer()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := other.Signer(); again.ID() != signer.ID() {
		t.Error("another node has other keys")
	}
	if foreign, _ := NewDerived(master, "something else", now).Signer(); foreign.ID() == signer.ID() {
		t.Error("another purpose has the same key")
	}
	signed, err := signer.Sign("x", []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	holds := func() bool {
		keys, err := other.Published()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jose.Parse(signed, jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parsed.Verify(keys.Candidates(parsed.Header().KeyID, jose.ES256)...)
		return err == nil
	}
	for weeks, want := range map[int]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		at = time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC).AddDate(0, 0, 7*weeks)
		if holds() != want {
			t.Errorf("%d weeks on: checked with success is %v", weeks, !want)
		}
	}
}
