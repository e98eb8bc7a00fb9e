package apikey

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/offkey/offkey/internal/secret"
)

func key(id, of string) *Key { return &Key{ID: id, Fingerprint: secret.HashOf(of)} }

func TestIndex(t *testing.T) {
	tests := []struct {
		name string
		do   func(*Index)
		// what is found: fingerprint of -> id
		found map[string]string
		size  int
	}{
		{"what is put is found", func(x *Index) { x.Put(key("ak_1", "a")); x.Put(key("ak_2", "b")) }, map[string]string{"a": "ak_1", "b": "ak_2", "c": ""}, 2},
		{"put again replaces", func(x *Index) { x.Put(key("ak_1", "a")); x.Put(key("ak_1", "a")) }, map[string]string{"a": "ak_1"}, 1},
		{"a new fingerprint closes the old one", func(x *Index) { x.Put(key("ak_1", "a")); x.Put(key("ak_1", "b")) }, map[string]string{"a": "", "b": "ak_1"}, 1},
		{"deleted is not found", func(x *Index) { x.Put(key("ak_1", "a")); x.Delete("ak_1") }, map[string]string{"a": ""}, 0},
		{"deleting nobody does nothing", func(x *Index) { x.Put(key("ak_1", "a")); x.Delete("ak_9") }, map[string]string{"a": "ak_1"}, 1},
		{"brought in again before the deletion is heard of", func(x *Index) { x.Put(key("ak_1", "a")); x.Put(key("ak_2", "a")); x.Delete("ak_1") }, map[string]string{"a": "ak_2"}, 1},
		{"a fingerprint has one apikey", func(x *Index) { x.Put(key("ak_1", "a")); x.Put(key("ak_2", "a")) }, map[string]string{"a": "ak_2"}, 1},
		{"fingerprints that change hands", func(x *Index) {
			x.Put(key("ak_1", "a"))
			x.Put(key("ak_2", "b"))
			x.Put(key("ak_1", "b"))
		}, map[string]string{"a": "", "b": "ak_1"}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := NewIndex()
			tt.do(x)
			for of, want := range tt.found {
				got := ""
				if k := x.Lookup(secret.HashOf(of)); k != nil {
					got = k.ID
					if x.ByID(got) != k {
						t.Errorf("%s is not found by its id", got)
					}
				}
				if got != want {
					t.Errorf("fingerprint of %q: found %q, want %q", of, got, want)
				}
			}
			if x.Len() != tt.size {
				t.Errorf("holds %d, want %d", x.Len(), tt.size)
			}
		})
	}
}

func TestNoCallFindsAnAPIKeyWithoutFingerprint(t *testing.T) {
	x := NewIndex(&Key{ID: "ak_1"}, &Key{ID: "ak_2"})
	if k := x.Lookup(secret.Hash{}); k != nil {
		t.Errorf("the zero fingerprint finds %s", k.ID)
	}
	if x.ByID("ak_1") == nil || x.ByID("ak_2") == nil || x.Len() != 2 {
		t.Error("they are not found by id")
	}
	x.Put(key("ak_1", "a"))
	x.Delete("ak_2")
	if x.Lookup(secret.HashOf("a")) == nil || x.Len() != 1 {
		t.Error("a fingerprint that comes later is not found")
	}
}

func TestIndexIsReadWhileItChanges(t *testing.T) {
	x := NewIndex(key("ak_stays", "stays"))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				id := fmt.Sprintf("ak_%d_%d", g, i%7)
				x.Put(key(id, id))
				if k := x.Lookup(secret.HashOf("stays")); k == nil || k.ID != "ak_stays" {
					t.Error("an apikey is not found while others change")
					return
				}
				if i%3 == 0 {
					x.Delete(id)
				}
				x.Len()
			}
		})
	}
	wg.Wait()
}

func TestLookupAllocatesNothing(t *testing.T) {
	x, of := NewIndex(key("ak_1", "a")), secret.HashOf("a")
	if n := testing.AllocsPerRun(100, func() { x.Lookup(of) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBucketFollowsTheCaller(t *testing.T) {
	// G-27: the limit of the apikey is the limit of the client that replaces it
	if got := (&Key{ID: "ak_1"}).Bucket(); got != "ak_1" {
		t.Errorf("before the upgrade %q", got)
	}
	if got := (&Key{ID: "ak_1", ClientID: "cl_1"}).Bucket(); got != "cl_1" {
		t.Errorf("after the upgrade %q", got)
	}
}

func TestTheFingerprintIsNotInTheJSON(t *testing.T) {
	k := key(NewID(), "a")
	b, err := json.Marshal(k)
	if err != nil || strings.Contains(strings.ToLower(string(b)), "fingerprint") || strings.Contains(string(b), k.Fingerprint.String()) {
		t.Errorf("%s, %v", b, err)
	}
}

func BenchmarkLookup(b *testing.B) {
	x := NewIndex()
	for i := range 100_000 {
		x.Put(key(fmt.Sprint("ak_", i), fmt.Sprint(i)))
	}
	of := secret.HashOf("777")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			x.Lookup(of)
		}
	})
}
