package migration

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// Exception is something that was granted beside the campaign, to whom, until
// when, by whom and why.
type Exception struct {
	Kind   string    `json:"kind"` // extension, or widening
	ID     string    `json:"id"`   // of the apikey or the client
	Owner  string    `json:"owner"`
	Until  time.Time `json:"until"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Scopes []string  `json:"scopes,omitempty"`
}

// Exceptions lists what is in force, what ends first before.
func (r *Road) Exceptions(ctx context.Context) ([]Exception, error) {
	now, all := r.Now(), []Exception{}
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if e := k.Extension; e.Holds(now) {
			all = append(all, Exception{Kind: "extension", ID: k.ID, Owner: k.Owner, Until: e.Until.UTC(), By: e.By, Reason: e.Reason})
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, w := range r.Rules().Widened {
		e := Exception{Kind: "widening", ID: w.Client, Until: w.Until.UTC(), By: w.By, Reason: w.Reason, Scopes: w.Scopes}
		if c, err := r.Store.Client(ctx, w.Client); err == nil {
			e.Owner = c.Owner
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b Exception) int { return a.Until.Compare(b.Until) })
	return all, nil
}

// SetSelfExtension says how long whoever holds an apikey may extend it, once;
// zero: not at all.
func (r *Road) SetSelfExtension(ctx context.Context, length time.Duration, actor string) error {
	_, err := r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
		s.SelfExtension = int64(length / time.Second)
		return nil
	}, audit.Event{Actor: actor, Action: "campaign.self_extension", Object: "apikeys", Detail: map[string]string{"length": lengthWords(length)}})
	return err
}

// longestReason bounds what a caller may say.
const longestReason = 300

// ExtendHeld extends the apikey that somebody holds, once: by as long as the
// operator lets callers, from its end or, where that is near or not known, from
// now. Errors are *oauth.Error.
func (r *Road) ExtendHeld(ctx context.Context, value, reason string) (Holding, error) {
	k, err := r.upgradable(ctx, value)
	if err != nil {
		return Holding{}, err
	}
	length, now := time.Duration(r.Rules().SelfExtension)*time.Second, r.Now()
	switch {
	case length <= 0:
		return Holding{}, oauth.AccessDenied("the operator of this API grants no extensions this way: ask them")
	case len(reason) == 0 || len(reason) > longestReason:
		return Holding{}, oauth.InvalidRequest("say why in reason, in up to 300 characters")
	}
	if _, err := r.Store.UpdateAPIKeys(ctx, []string{k.ID}, func(k *apikey.Key) error {
		if !k.Extension.Taken.IsZero() {
			return oauth.AccessDenied("this apikey was extended before, and once is all: run `offkey upgrade`, or ask the operator of the API")
		}
		if k.Stage != apikey.Inherit { // an operator's word, which a caller does not change
			return oauth.AccessDenied("the operator of the API has set the stage of this apikey: ask them")
		}
		from := latest(latest(r.Rules().StandingOf(k, now).Sunset, k.Extension.Until), now)
		return Extend(k, apikey.Extension{Until: from.Add(length), Granted: now, By: "apikey:" + k.ID, Reason: reason, Taken: now})
	}, audit.Event{Actor: "apikey:" + k.ID, Action: "apikey.extended", Object: k.ID, Detail: map[string]string{"reason": reason, "by": "its holder"}}); err != nil {
		var refused *oauth.Error
		if errors.As(err, &refused) {
			return Holding{}, refused
		}
		return Holding{}, oauth.ServerError(err)
	}
	return r.HeldBy(ctx, value)
}

// WidenOrder gives a client more scopes for a time.
type WidenOrder struct {
	ClientID string
	Scopes   oauth.Scope // nil: what it was refused for in the last 24 hours
	For      time.Duration
	Reason   string
	Actor    string
	DryRun   bool
}

// WidenResult is what was given, or with DryRun would be.
type WidenResult struct {
	policy.Widening
	Refused int64 `json:"refused"` // calls of the last 24 hours that lacked a scope
	DryRun  bool  `json:"dry_run,omitempty"`
}

// What can be wrong with a widening.
var (
	ErrWidenLength   = errors.New("a client is widened for a minute to 90 days")
	ErrNothingToGive = errors.New("the client was refused for no scope in the last 24 hours that it lacks")
	ErrManyWidened   = errors.New("too many clients are widened already")
	ErrFromFile      = errors.New("the client is declared in the configuration file: give it the scopes there")
)

// Widen gives a client scopes that it loses by itself again.
func (r *Road) Widen(ctx context.Context, o WidenOrder) (WidenResult, error) {
	res := WidenResult{DryRun: o.DryRun}
	if o.For < time.Minute || o.For > 90*24*time.Hour {
		return res, ErrWidenLength
	}
	c, err := r.Store.Client(ctx, o.ClientID)
	if err != nil {
		return res, err
	}
	if c.Source == client.SourceFile {
		return res, ErrFromFile
	}
	lacked, err := r.lacked(ctx, c, &res)
	if err != nil {
		return res, err
	}
	if o.Scopes == nil {
		o.Scopes = lacked
	}
	given := o.Scopes.Minus(c.Scopes)
	if given.IsZero() {
		return res, ErrNothingToGive
	}
	now := r.Now()
	res.Widening = policy.Widening{Client: c.ID, Scopes: given, Until: now.Add(o.For).UTC(), At: now.UTC(), By: o.Actor, Reason: o.Reason}
	if o.DryRun {
		return res, nil
	}
	// On record first: should this end between the two, the scopes are taken back
	// that were never given, and not the other way round.
	if _, err := r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
		if len(s.Widened) >= policy.MaxWidened {
			return ErrManyWidened
		}
		s.Widened = append(slices.Clone(s.Widened), res.Widening)
		return nil
	}, audit.Event{Actor: o.Actor, Action: "client.widened", Object: c.ID, Detail: res.Widening}); err != nil {
		return res, err
	}
	_, err = r.Store.UpdateClient(ctx, c.ID, func(c *client.Client) error {
		c.Scopes = c.Scopes.Union(given)
		return nil
	}, audit.Event{Actor: o.Actor, Action: "client.updated", Object: c.ID, Detail: map[string]any{"scopes": given, "until": res.Until}})
	return res, err
}

// lacked are the scopes that calls of a client lacked in the last 24 hours.
func (r *Road) lacked(ctx context.Context, c *client.Client, res *WidenResult) (lacked oauth.Scope, err error) {
	rules := r.Rules()
	err = r.Store.Traffic(ctx, traffic.Filter{From: r.Now().Add(-25 * time.Hour), Credential: &traffic.Credential{Kind: traffic.KindClient, ID: c.ID}}, func(row traffic.Row) error {
		if codeOf(row.Outcome) != policy.CodeInsufficientScope {
			return nil
		}
		res.Refused += row.Calls
		for _, route := range rules.Candidates(row.Method, row.Template, traffic.IsIdentifier) {
			if route != nil {
				lacked = lacked.Union(route.Scopes.Minus(c.Scopes))
			}
		}
		return nil
	})
	return lacked, err
}

// tendWidened takes back what clients were given for a time that is over.
func (r *Road) tendWidened(ctx context.Context) error {
	now := r.Now()
	for _, w := range r.Rules().Widened {
		if now.Before(w.Until) {
			continue
		}
		if err := r.narrow(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

func (r *Road) narrow(ctx context.Context, over policy.Widening) error {
	same := func(w policy.Widening) bool {
		return w.Client == over.Client && w.At.Equal(over.At) && w.Scopes.Equal(over.Scopes)
	}
	var still oauth.Scope // given by another widening that lasts
	for _, w := range r.Rules().Widened {
		if w.Client == over.Client && !same(w) && r.Now().Before(w.Until) {
			still = still.Union(w.Scopes)
		}
	}
	_, err := r.Store.UpdateClient(ctx, over.Client, func(c *client.Client) error {
		c.Scopes = c.Scopes.Minus(over.Scopes.Minus(still))
		c.DefaultScopes = c.DefaultScopes.Minus(over.Scopes.Minus(still))
		return nil
	}, audit.Event{Actor: system, Action: "client.narrowed", Object: over.Client, Detail: over})
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return err
	}
	_, err = r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
		s.Widened = slices.DeleteFunc(slices.Clone(s.Widened), same)
		return nil
	}, audit.Event{Actor: system, Action: "widening.ended", Object: over.Client, Detail: over})
	return err
}

// KeepScopes forgets what a client was given for a time: an operator has said
// anew what it may ask for, and no end takes that back.
func (r *Road) KeepScopes(ctx context.Context, clientID, actor string) error {
	given := func(w policy.Widening) bool { return w.Client == clientID }
	if !slices.ContainsFunc(r.Rules().Widened, given) {
		return nil
	}
	_, err := r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
		s.Widened = slices.DeleteFunc(slices.Clone(s.Widened), given)
		return nil
	}, audit.Event{Actor: actor, Action: "widening.kept", Object: clientID})
	return err
}
