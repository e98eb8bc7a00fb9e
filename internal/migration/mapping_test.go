package migration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/migration/importfile"
)

func TestApikeysFindTheirClients(t *testing.T) {
	w := newWorld(t)
	if _, err := w.importFile(importfile.File{}, strings.Join([]string{
		"key,owner,label", keyA + ",Acme,nightly", keyB + ",acme ,shop", keyC + ",Globex,two", "live_kkkkllllmmmmnnnn4,Nobody,none", "live_ooooppppqqqqrrrr5,,",
	}, "\n"), false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []client.Client{
		{ID: "cl_acme", Name: "Shop", Owner: "ACME"}, {ID: "cl_g1", Name: "one", Owner: "Globex"}, {ID: "cl_g2", Name: "two", Owner: "Globex"},
		{ID: "cl_off", Name: "none", Owner: "Nobody", Status: client.Disabled},
	} {
		c.AuthMethod, c.Created = "none", noon
		c.Status = client.Active
		if c.ID == "cl_off" {
			c.Status = client.Disabled
		}
		if err := w.db.CreateClient(w.ctx, &c, audit.Event{Actor: "test", Action: "client.created"}); err != nil {
			t.Fatal(err)
		}
	}
	pairs := []MapPair{{keyA, "one"}, {"shop", "cl_g2"}, {"nobody", "one"}, {"two", "nobody"}}
	for _, tt := range []struct {
		by   string
		want string
		rest MapReport
	}{
		{MapByOwner, "dd1>cl_acme hhh2>cl_acme", MapReport{Unmatched: 2, Ambiguous: 1}},
		{MapByLabel, "hhh2>cl_acme lll3>cl_g2", MapReport{Unmatched: 3}},
		{MapByPairs, "dd1>cl_g1 hhh2>cl_g2", MapReport{Unmatched: 2}},
	} {
		got, err := w.MapAll(w.ctx, MapRequest{By: tt.by, Pairs: pairs, DryRun: true, Actor: "os:0"})
		if err != nil {
			t.Fatal(err)
		}
		var mapped []string
		for _, m := range got.Mapped {
			mapped = append(mapped, strings.TrimPrefix(m.Last4, "d")+">"+m.ClientID)
		}
		slices.Sort(mapped)
		if s := strings.Join(mapped, " "); s != tt.want || got.Unmatched != tt.rest.Unmatched || got.Ambiguous != tt.rest.Ambiguous {
			t.Errorf("by %s: %s, %+v", tt.by, s, got)
		}
		if strings.Contains(fmt.Sprint(got.Problems), "live_") {
			t.Errorf("the report has an apikey: %v", got.Problems)
		}
	}
	if slices.ContainsFunc(w.keys(), func(k *apikey.Key) bool { return k.ClientID != "" }) {
		t.Error("a dry run maps")
	}
	for i, want := range []int{2, 0} {
		got, err := w.MapAll(w.ctx, MapRequest{By: MapByOwner, Actor: "os:0"})
		if err != nil || len(got.Mapped) != want || got.Already != 2-want {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
	}
	if (MapRequest{By: "phase of the moon"}).Check() == nil || (MapRequest{By: MapByPairs, Pairs: make([]MapPair, maxPairs+1)}).Check() == nil {
		t.Error("anything goes")
	}
}

func TestListsOfPairs(t *testing.T) {
	got, err := ReadPairs(strings.NewReader("\ufeffClient, Apikey ,x\nbilling,ak_1,\n shop , nightly ,y\n"))
	if err != nil || fmt.Sprint(got) != "[{ak_1 billing} {nightly shop}]" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "a,b\n1,2\n", "apikey,client\nonly\n", "apikey,client\n\"secret-key-0123\n"} {
		if _, err := ReadPairs(strings.NewReader(bad)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzReadPairs(f *testing.F) {
	f.Add("apikey,client\nak_1,billing\n")
	f.Fuzz(func(t *testing.T, text string) {
		if pairs, err := ReadPairs(strings.NewReader(text)); err == nil && len(pairs) > len(text) {
			t.Fatal("more pairs than text")
		}
	})
}
