package migration

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// CallUse is what one credential did at one operation, from all recorded calls
// of a window, not a sample.
type CallUse struct {
	Kind     string           `json:"kind"`
	ID       string           `json:"id"`
	Method   string           `json:"method"`
	Template string           `json:"template"`
	Calls    int64            `json:"calls"`
	Refused  int64            `json:"refused"` // of these, by offkey
	Statuses map[string]int64 `json:"statuses"`
	First    time.Time        `json:"first"`
	Last     time.Time        `json:"last"`
	Sources  []string         `json:"sources"`
	Agents   []string         `json:"user_agents"`
}

// Calls is the answer to who called what.
type Calls struct {
	Calls  []CallUse `json:"calls"`
	Window Window    `json:"window"`
	Beyond int64     `json:"beyond"` // calls of operations that are not told apart any more
}

// maxCallUses bounds the answer.
const maxCallUses = 10_000

// CallsOf gathers the calls of one credential, or of all with nil, since a time.
func (r *Road) CallsOf(ctx context.Context, c *traffic.Credential, since time.Time) (Calls, error) {
	out := Calls{Calls: []CallUse{}, Window: Window{since, r.Now()}}
	type key struct {
		credential traffic.Credential
		op         operation
	}
	type fold struct {
		use             CallUse
		sources, agents map[string]int64
	}
	found := map[key]*fold{}
	err := r.Store.Traffic(ctx, traffic.Filter{From: since.UTC().Truncate(time.Hour), Credential: c}, func(row traffic.Row) error {
		if row.Last.Before(since) {
			return nil
		}
		k := key{row.Credential, operation{row.Method, row.Template}}
		f := found[k]
		if f == nil {
			if len(found) >= maxCallUses {
				out.Beyond += row.Calls
				return nil
			}
			f = &fold{use: CallUse{Kind: row.Credential.Kind, ID: row.Credential.ID, Method: row.Method, Template: row.Template, Statuses: map[string]int64{}}, sources: map[string]int64{}, agents: map[string]int64{}}
			found[k] = f
		}
		f.use.Calls += row.Calls
		if row.Denied() {
			f.use.Refused += row.Calls
		}
		f.use.Statuses[strconv.Itoa(row.Status)] += row.Calls
		f.use.First, f.use.Last = earliest(f.use.First, row.First), latest(f.use.Last, row.Last)
		if row.Source.IsValid() {
			tally(f.sources, row.Source.String(), "", maxPrograms, row.Calls)
		}
		if row.UserAgent != "" {
			tally(f.agents, row.UserAgent, "", maxPrograms, row.Calls)
		}
		return nil
	})
	if err != nil {
		return Calls{}, err
	}
	same := func(s string) string { return s }
	for _, f := range found {
		f.use.Sources, f.use.Agents = byCalls(f.sources, same), byCalls(f.agents, same)
		out.Calls = append(out.Calls, f.use)
	}
	slices.SortFunc(out.Calls, func(a, b CallUse) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}
