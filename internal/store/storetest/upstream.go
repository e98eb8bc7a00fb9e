package storetest

import (
	"testing"

	"github.com/offkey/offkey/internal/directory"
)

func testUpstreamPeople(t *testing.T, open Open) {
	const issuer = "https://corp.example"
	t.Run("who somebody is elsewhere is kept with them, and goes with them", func(t *testing.T) {
		b := setUp(t, open)
		_, err := b.UpstreamPerson(b.ctx(), issuer, "7")
		b.is(err, directory.ErrNotFound)
		b.ok(b.CreateUpstreamAccount(b.ctx(), issuer, "7", plainAccount("pe_1"), did("person.arrived")))
		b.reopen()
		id, err := b.UpstreamPerson(b.ctx(), issuer, "7")
		b.ok(err)
		b.same("person", id, "pe_1")
		for _, other := range [][2]string{{issuer, "8"}, {issuer + "/", "7"}, {"", ""}} {
			_, err := b.UpstreamPerson(b.ctx(), other[0], other[1])
			b.is(err, directory.ErrNotFound)
		}
		b.ok(b.DeletePerson(b.ctx(), "pe_1", did("person.deleted")))
		_, err = b.UpstreamPerson(b.ctx(), issuer, "7")
		b.is(err, directory.ErrNotFound)
	})
	t.Run("of 20 that arrive together one is made", func(t *testing.T) {
		b := setUp(t, open)
		errs := make([]error, 20)
		together(len(errs), func(i int) {
			errs[i] = b.CreateUpstreamAccount(b.ctx(), issuer, "7", plainAccount(directory.NewID()), did("person.arrived"))
		})
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			b.is(err, directory.ErrExists)
		}
		people, _, err := b.People(b.ctx(), directory.Filter{})
		b.ok(err)
		if made != 1 || len(people) != 1 {
			t.Errorf("%d were made, %d are there", made, len(people))
		}
	})
	t.Run("without an issuer or a subject nobody is anybody", func(t *testing.T) {
		b := setUp(t, open)
		for _, bad := range [][2]string{{"", "7"}, {issuer, ""}} {
			if err := b.CreateUpstreamAccount(b.ctx(), bad[0], bad[1], plainAccount("pe_1"), did("x")); err == nil {
				t.Errorf("%v was kept", bad)
			}
		}
	})
}
