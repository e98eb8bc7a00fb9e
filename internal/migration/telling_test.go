package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

// postbox is a Postman that keeps what it is handed.
type postbox struct {
	sent []Bundle
	full bool
	err  error
}

func (p *postbox) Write(b Bundle) Message {
	return Message{To: []string{b.Contact}, Subject: b.Notices[0].Occasion, Notices: len(b.Notices)}
}

func (p *postbox) Send(_ context.Context, b Bundle) (Message, error) {
	if p.full {
		return Message{}, ErrPostFull
	}
	if p.err != nil {
		return Message{}, p.err
	}
	p.sent = append(p.sent, b)
	return p.Write(b), nil
}

// told is what was handed over since the last time, as "contact apikey program
// occasion".
func (p *postbox) told() (all []string) {
	for _, b := range p.sent {
		for _, n := range b.Notices {
			all = append(all, fmt.Sprintf("%s %s %s %s", b.Contact, n.Key.Label, n.Program, n.Occasion))
		}
	}
	p.sent = nil
	slices.Sort(all)
	return all
}

func newTelling(t *testing.T) (*world, *postbox) {
	w, p := newWorld(t), &postbox{}
	w.Postman = p
	return w, p
}

func contact(label, address string) func(*apikey.Key) {
	return func(k *apikey.Key) { k.Label, k.Contact = label, address }
}

func (w *world) tell(o TellOrder) TellResult {
	w.Helper()
	o.Actor = "os:0"
	res, err := w.Tell(w.ctx, o)
	if err != nil {
		w.Fatal(err)
	}
	return res
}

func (p *postbox) want(t *testing.T, want ...string) {
	t.Helper()
	if got := p.told(); !slices.Equal(got, want) {
		t.Errorf("told\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestOwnersAreToldOnceForEachProgram(t *testing.T) {
	w, p := newTelling(t)
	k := w.inUse("a", contact("orders", "a@acme.example"))
	w.calls(seen(k.ID, "GET", "/v1/stock", 3, agent(python), at(w.now())))
	w.tell(TellOrder{})
	p.want(t) // nothing is said in observe
	w.moveAll(apikey.Warn)
	w.tell(TellOrder{})
	p.want(t, "a@acme.example orders curl warn", "a@acme.example orders python-requests warn")
	w.tell(TellOrder{})
	p.want(t)
	w.calls(seen(k.ID, "GET", "/v1/stock", 3, agent("Java/21"), at(w.now())))
	w.tell(TellOrder{})
	p.want(t, "a@acme.example orders Java warn")
	w.tell(TellOrder{Again: true, Kind: OccasionEnd})
	p.want(t) // no end is announced
	w.tell(TellOrder{Again: true, IDs: []string{k.ID}})
	if got := p.told(); len(got) != 3 {
		t.Errorf("again: %v", got)
	}
}

func TestTheEndIsToldThirtySevenAndOneDaysBefore(t *testing.T) {
	w, p := newTelling(t)
	w.inUse("a", contact("orders", "a@acme.example"))
	w.setStage(StageChange{Stage: apikey.Warn, All: true})
	w.tell(TellOrder{})
	p.told()
	w.setStage(StageChange{Stage: apikey.UpgradeOnly, All: true, At: w.now().Add(40 * day)})
	end := w.now().Add(40 * day).Format(time.DateOnly)
	for _, step := range []struct {
		pass time.Duration
		want string
	}{{9 * day, ""}, {2 * day, "30"}, {1 * day, ""}, {22 * day, "7"}, {5 * day, "1"}, {12 * time.Hour, ""}} {
		w.pass(step.pass)
		w.calls(seen(w.keys()[0].ID, "GET", "/v1/orders", 1, at(w.now())))
		w.tell(TellOrder{})
		if step.want == "" {
			p.want(t)
			continue
		}
		p.want(t, fmt.Sprintf("a@acme.example orders curl end:%s:%s", step.want, end))
	}
}

func TestABrownoutIsToldBeforeItComes(t *testing.T) {
	w, p := newTelling(t)
	w.inUse("a", contact("orders", "a@acme.example"), owner("Acme"))
	w.inUse("b", contact("stock", "b@globex.example"), owner("Globex"))
	acme(w)
	w.setStage(StageChange{Stage: apikey.Brownout, All: true})
	w.tell(TellOrder{})
	p.told()
	from := w.now().Add(10 * day)
	if _, err := w.Brownout(w.ctx, BrownoutOrder{Cohort: "acme", From: from, For: 10 * time.Minute, Actor: "os:0"}); err != nil {
		t.Fatal(err)
	}
	w.tell(TellOrder{})
	p.want(t)
	w.pass(4 * day)
	w.tell(TellOrder{})
	p.want(t, "a@acme.example orders curl brownout:7:"+from.Format("2006-01-02T15:04"))
}

func TestOneMessageGoesToAContactForAllTheirAPIKeys(t *testing.T) {
	w, p := newTelling(t)
	for i := range 5 {
		w.inUse(fmt.Sprint("a", i), contact(fmt.Sprint(i), "a@acme.example"))
	}
	w.inUse("b", contact("b", ""))
	w.moveAll(apikey.Warn)
	if res := w.tell(TellOrder{}); res.Sent != 2 || len(p.sent) != 2 || len(p.sent[1].Notices) != 5 || p.sent[0].Contact != "" {
		t.Errorf("%+v", res)
	}
}

func TestOfAnAPIKeyThatHasMovedAndIsNotSentNobodyIsTold(t *testing.T) {
	w, p := newTelling(t)
	w.learnt("silent", contact("silent", "a@acme.example"))
	w.learnt("moved", contact("moved", "a@acme.example"), func(k *apikey.Key) { k.ClientID = "cl_1" })
	w.moveAll(apikey.Warn)
	w.tell(TellOrder{})
	p.want(t, "a@acme.example silent  warn")
}

func TestWhatCannotBeSentIsToldLater(t *testing.T) {
	w, p := newTelling(t)
	w.inUse("a", contact("orders", "a@acme.example"))
	w.moveAll(apikey.Warn)
	p.full = true
	if res := w.tell(TellOrder{}); res.Sent != 0 || !res.Waiting {
		t.Errorf("%+v", res)
	}
	p.full, p.err = false, errors.New("no space left on device")
	if _, err := w.Tell(w.ctx, TellOrder{}); err == nil {
		t.Error("the failure is not said")
	}
	p.err = nil
	w.tend()
	p.want(t)
	w.pass(tellEvery)
	if res := w.tell(TellOrder{DryRun: true}); len(res.Messages) != 1 || len(p.sent) != 0 {
		t.Errorf("%+v", res)
	}
	w.tend()
	p.want(t, "a@acme.example orders curl warn")
}

func TestAPausedCampaignTellsOfNoBrownout(t *testing.T) {
	k := &apikey.Key{ID: "ak_1"}
	now := noon
	rs := policy.Ruleset{Stage: apikey.Brownout, Since: now.Add(-day)}
	rs.Campaign.Windows = []policy.Window{{ID: "w", From: now.Add(day / 2), To: now.Add(day)}}
	if got := occasionsOf(k, rs.Build(nil, nil), now); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	rs.Campaign.Pause = policy.Pause{At: now, Back: now}
	if got := occasionsOf(k, rs.Build(nil, nil), now); len(got) != 1 {
		t.Errorf("paused: %+v", got)
	}
}

// Notices of one apikey stand together, whatever the ends of the others are.
func TestNoticesAreSortedByTheirEndAndThoseWithoutComeLast(t *testing.T) {
	end := func(id string, days time.Duration) Notice {
		n := Notice{Telling: apikey.Telling{APIKeyID: id, Occasion: OccasionWarn}}
		if days > 0 {
			n.Until = noon.Add(days * day)
		}
		return n
	}
	notices := []Notice{end("b", 0), end("a", 9), end("c", 1), end("a", 9), end("b", 0)}
	var got []string
	for _, n := range bundled(map[string][]Notice{"x": notices})[0].Notices {
		got = append(got, n.APIKeyID)
	}
	if strings.Join(got, " ") != "c a a b b" {
		t.Errorf("%v", got)
	}
}
