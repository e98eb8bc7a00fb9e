package migration

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// Status is how far the road has been walked, as `status` prints it.
type Status struct {
	Stage    apikey.Stage `json:"stage"` // of all
	Since    *time.Time   `json:"since"`
	APIKeys  APIKeyCount  `json:"apikeys"`
	Calls    CallCount    `json:"calls"`
	Forecast *time.Time   `json:"forecast"` // when no call has an apikey any more, at this rate; null where it is not to be seen
	// ForecastWhy says why there is no forecast.
	ForecastWhy string     `json:"forecast_why,omitempty"`
	Next        *NextEvent `json:"next"`
}

// APIKeyCount counts apikeys.
type APIKeyCount struct {
	Total   int            `json:"total"`
	Used30d int            `json:"used_30d"`
	ByStage map[string]int `json:"by_stage"` // by the stage that holds
}

// CallCount counts the calls of the last 30 days.
type CallCount struct {
	APIKey int64 `json:"apikey"`
	Token  int64 `json:"token"`
	Other  int64 `json:"other"` // without a credential, or an unknown one
}

// NextEvent is what was announced next.
type NextEvent struct {
	Event string    `json:"event"`
	At    time.Time `json:"at"`
}

// Status counts.
func (r *Road) Status(ctx context.Context) (Status, error) {
	now, rules := r.Now(), r.Rules()
	settings, err := r.Store.Settings(ctx)
	if err != nil {
		return Status{}, err
	}
	stage, since := rules.StageOfAll(now)
	s := Status{Stage: stage, Since: instant(since), APIKeys: APIKeyCount{ByStage: map[string]int{}}}
	s.Next = r.nextOf(rules, now)
	s.Next = sooner(s.Next, "the announced end of all apikeys", settings.StageUntil, now)
	var page []string
	count := func() error {
		uses, err := r.Store.APIKeyUses(ctx, page)
		for _, use := range uses {
			if now.Sub(use.Last) < inventoryWindow {
				s.APIKeys.Used30d++
			}
		}
		page = page[:0]
		return err
	}
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		s.APIKeys.Total++
		s.APIKeys.ByStage[rules.StageOf(k, now).String()]++
		s.Next = sooner(s.Next, "the announced end of apikey "+k.ID, k.Until, now)
		if page = append(page, k.ID); len(page) == 1000 {
			return count()
		}
		return nil
	}); err != nil {
		return Status{}, err
	}
	if err := count(); err != nil {
		return Status{}, err
	}
	days, err := r.burn.days(ctx, r.Store, now)
	if err != nil {
		return Status{}, err
	}
	for _, d := range days {
		s.Calls.APIKey += d.APIKey
		s.Calls.Token += d.Token
		s.Calls.Other += d.Other
	}
	found := forecastOf(days, now)
	s.Forecast, s.ForecastWhy = found.At, found.Why
	return s, nil
}

// nextOf is what the calendar brings next; one that is paused brings nothing.
func (r *Road) nextOf(rules *policy.Ruleset, now time.Time) (next *NextEvent) {
	if rules.Paused() {
		return nil
	}
	for _, step := range rules.Steps {
		next = sooner(next, fmt.Sprintf("stage %s for %s", step.Stage, targetName(step.Cohort, step.Share)), step.At, now)
	}
	for _, w := range rules.Windows {
		next = sooner(next, "a brownout of "+targetName(w.Cohort, w.Share), w.From, now)
	}
	return next
}

func sooner(next *NextEvent, event string, at, now time.Time) *NextEvent {
	if !at.After(now) || next != nil && !at.Before(next.At) {
		return next
	}
	return &NextEvent{event, at.UTC()}
}

// burnDown counts the calls of each hour. Hours that are over are remembered, so
// that a status that is watched reads little.
type burnDown struct {
	mu    sync.Mutex
	hours map[int64]CallCount // by Unix time of the hour
}

// settled is how long after its end an hour can still get calls: those of a
// store that was gone for a while, or of a slow stream.
const settled = 2 * time.Hour

// days are the counts of the last 30 days of 24 hours that end with now's hour,
// oldest first.
func (b *burnDown) days(ctx context.Context, store TrafficStore, now time.Time) ([]CallCount, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := now.UTC().Truncate(time.Hour).Add(time.Hour)
	start := end.Add(-inventoryWindow)
	from := start
	for len(b.hours) > 0 && !from.After(end.Add(-settled-2*time.Hour)) {
		if _, ok := b.hours[from.Unix()]; !ok {
			break
		}
		from = from.Add(time.Hour)
	}
	read := map[int64]CallCount{}
	for h := from; h.Before(end); h = h.Add(time.Hour) {
		read[h.Unix()] = CallCount{}
	}
	if err := store.Traffic(ctx, traffic.Filter{From: from, To: end}, func(row traffic.Row) error {
		c := read[row.Hour.Unix()]
		switch row.Credential.Kind {
		case traffic.KindAPIKey:
			c.APIKey += row.Calls
		case traffic.KindClient:
			c.Token += row.Calls
		default:
			c.Other += row.Calls
		}
		read[row.Hour.Unix()] = c
		return nil
	}); err != nil {
		return nil, err
	}
	kept := map[int64]CallCount{}
	days := make([]CallCount, int(inventoryWindow/(24*time.Hour)))
	for i := range days {
		for h := range 24 {
			at := start.Add(time.Duration(24*i+h) * time.Hour).Unix()
			c, ok := read[at]
			if !ok {
				c = b.hours[at]
			}
			kept[at] = c
			days[i].APIKey, days[i].Token, days[i].Other = days[i].APIKey+c.APIKey, days[i].Token+c.Token, days[i].Other+c.Other
		}
	}
	b.hours = kept
	return days, nil
}
