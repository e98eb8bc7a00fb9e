package storetest

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

func testTold(t *testing.T, open Open) {
	read := func(b *trial) (all []apikey.Telling) {
		b.t.Helper()
		b.ok(b.Told(b.ctx(), func(t apikey.Telling) { all = append(all, t) }))
		return all
	}
	t.Run("what was told reads back once, and goes after more than a year", func(t *testing.T) {
		b := setUp(t, open)
		told := []apikey.Telling{{APIKeyID: "ak_1", Occasion: "warn"}, {APIKeyID: "ak_1", Program: "curl", Occasion: "warn"}, {APIKeyID: "ak_2", Program: "curl", Occasion: "end:7:2027-09-30"}}
		b.ok(b.NoteTold(b.ctx(), told, did("owner.told")))
		b.ok(b.NoteTold(b.ctx(), told[:1], did("owner.told")))
		b.same("told", read(b), told)
		b.same("audit", b.entries()[len(b.entries())-1].Action, "owner.told")
		_, err := b.Clean(b.ctx(), noon.Add(399*24*time.Hour), 1000)
		b.ok(err)
		b.same("kept", read(b), told)
		_, err = b.Clean(b.ctx(), noon.Add(402*24*time.Hour), 1000)
		b.ok(err)
		b.same("gone", len(read(b)), 0)
	})
}
