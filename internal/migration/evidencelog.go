package migration

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
)

// stageLog is what the audit log says about stages: those of single apikeys as of
// a moment and now, and that of all.
type stageLog struct {
	then, now map[string]apikey.Stage // by apikey; missing is Inherit
	all       apikey.Stage            // as of the moment
	allSet    bool
	allSince  time.Time
}

// loggedStage are the members of audit details that are about stages.
type loggedStage struct {
	Stage     *apikey.Stage `json:"stage"`
	Before    *apikey.Stage `json:"before"`
	APIKeys   []string      `json:"apikeys"`
	APIKey    string        `json:"apikey"`
	Kind      string        `json:"kind"`
	Contained bool          `json:"contained"`
}

// readLog reads the audit log once: what people did, what became of stages, and
// whether the log holds.
func (r *Road) readLog(ctx context.Context, e *Evidence) (*stageLog, error) {
	entries, head, err := r.Store.VerifyAudit(ctx)
	e.Audit = AuditState{Entries: entries, OK: err == nil, Head: head.Seq, Hash: head.Hash.String()}
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		e.Audit.Problem = err.Error()
	}
	log := &stageLog{then: map[string]apikey.Stage{}, now: map[string]apikey.Stage{}}
	dropped := false
	for after := int64(0); ; {
		page, err := r.Store.AuditEntries(ctx, after, 1000)
		if err != nil {
			return nil, err
		}
		for _, entry := range page {
			after = entry.Seq
			log.add(entry, e.AsOf)
			if entry.At.After(e.AsOf) || !isPersons(entry.Actor) {
				continue
			}
			if len(e.Actions) >= maxActions { // the newest stay
				e.Actions, dropped = e.Actions[1:], true
			}
			e.Actions = append(e.Actions, AdminAction{entry.Seq, entry.At, entry.Actor, entry.Action, entry.Object, entry.Detail})
		}
		if len(page) < 1000 {
			break
		}
	}
	if dropped {
		e.Limits = append(e.Limits, "only the newest admin actions are listed; `offkey audit` has all")
	}
	return log, nil
}

// isPersons reports whether an actor is an operator, and not the process or a
// caller.
func isPersons(actor string) bool {
	kind, _, _ := strings.Cut(actor, ":")
	return kind != "system" && kind != "client" && kind != "apikey" && kind != "stranger" && kind != "github"
}

// add folds an entry in.
func (l *stageLog) add(entry audit.Entry, asOf time.Time) {
	var d loggedStage
	if len(entry.Detail) > 0 {
		_ = json.Unmarshal(entry.Detail, &d) // other details have other members
	}
	set := func(id string, stage apikey.Stage) {
		if l.now[id] = stage; !entry.At.After(asOf) {
			l.then[id] = stage
		}
	}
	switch entry.Action {
	case "apikey.stage_set":
		if d.Stage != nil {
			for _, id := range d.APIKeys {
				set(id, *d.Stage)
			}
		}
	case "apikey.blocked":
		set(entry.Object, apikey.Blocked)
	case "leak.opened":
		if d.Contained && d.Kind == "apikey" {
			set(entry.Object, apikey.Blocked)
		}
	case "leak.closed":
		if d.APIKey != "" && d.Stage != nil {
			set(d.APIKey, *d.Stage)
		}
	case "stage.set":
		if d.Stage != nil && entry.Object == "all" && !entry.At.After(asOf) {
			l.all, l.allSet, l.allSince = *d.Stage, true, entry.At
		}
	}
}

// stageOf is the stage of its own that an apikey had then; sure is false where
// the log does not lead to the one that it has now.
func (l *stageLog) stageOf(k *apikey.Key) (own apikey.Stage, sure bool) {
	return l.then[k.ID], l.now[k.ID] == k.Stage
}

// rules are those in force, with the stage of all of then.
func (l *stageLog) rules(now *policy.Ruleset, asOf time.Time, past bool) *policy.Ruleset {
	if !past || !now.Since.After(asOf) {
		return now
	}
	return now.With(func(rs *policy.Ruleset) {
		rs.Stage, rs.Since = apikey.Observe, time.Time{}
		if l.allSet {
			rs.Stage, rs.Since = l.all, l.allSince
		}
	})
}
