package migration

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// maxLogAPIKeys is how many apikeys of logs are told apart where no list of
// them is at hand: whoever writes into a log can make up more.
const maxLogAPIKeys = 20_000

// LogInventory is what apikeys do as access logs alone show it: every apikey in
// them has an id of its own, made of its HMAC.
type LogInventory struct {
	pepper *secret.Pepper
	ids    map[string]struct{}
	used   map[string]*usage
	space  *space
}

// NewLogInventory makes an empty inventory. The same pepper gives the same ids.
func NewLogInventory(pepper *secret.Pepper) *LogInventory {
	return &LogInventory{pepper: pepper, ids: map[string]struct{}{}, used: map[string]*usage{}, space: newSpace()}
}

// NewReader makes a LogReader that fills the inventory and keeps in store how
// far it came; each is told of every call.
func (v *LogInventory) NewReader(store LogStore, carriers *apikey.Reader, now func() time.Time, each func(o *traffic.Observation)) *LogReader {
	return &LogReader{
		store: store, now: now, rows: 20 * maxLogRows, each: each, inventory: v,
		reader: func() *apikey.Reader { return carriers },
		hash:   func(part []byte) string { return v.pepper.Fingerprint("log " + string(part)).String() },
		known: func() knownAPIKeys {
			return &shownAPIKeys{inventory: v, a: maphash.MakeSeed(), b: maphash.MakeSeed(), values: map[digest]string{}}
		},
	}
}

// Add counts a call.
func (v *LogInventory) Add(o *traffic.Observation, template string) {
	if o.Credential.Kind != traffic.KindAPIKey || !o.Credential.Known() {
		return
	}
	u := v.used[o.Credential.ID]
	if u == nil {
		id, ok := v.admit(o.Credential.ID)
		if !ok {
			return
		}
		u = newUsage(v.space)
		v.used[id] = u
	}
	u.add(traffic.Row{
		Credential: o.Credential, Method: ownMethod(o.Method), Template: template, Status: o.Status, UserAgent: v.space.agent(o.UserAgent).agent, Source: o.Source,
		Carrier: o.Carrier, Calls: 1, First: o.At, Last: o.At, Browser: o.Browser, Plain: o.Plain,
	})
}

// ownMethod is a method as a text of its own: that of a line would keep the line.
func ownMethod(method string) string {
	for _, usual := range [...]string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} {
		if method == usual {
			return usual
		}
	}
	return "*"
}

// Items lists the apikeys, most calls first, as `apikeys list` does. Now is the
// time of the last call.
func (v *LogInventory) Items() []Item {
	var now time.Time
	for _, u := range v.used {
		now = latest(now, u.last)
	}
	rules := policy.Ruleset{Stage: apikey.Observe}.Build(nil, nil)
	items := make([]Item, 0, len(v.used))
	for id, u := range v.used {
		k := &apikey.Key{ID: id, Created: u.first, Owner: "-", Contact: "-"} // of whom a log says nothing
		if strings.HasPrefix(id, "ak_") {
			_, k.Last4, _ = strings.Cut(id, ".")
		}
		item := itemOf(standing{key: k, usage: u, callers: u.fold.callers(), now: now}, rules)
		item.Owner = ""
		items = append(items, item)
	}
	slices.SortFunc(items, func(a, b Item) int {
		if a.Calls != b.Calls {
			return int(min(max(b.Calls-a.Calls, -1), 1))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return items
}

// id is the id of an apikey as shown: a part of its HMAC, and its last
// characters.
func (v *LogInventory) id(value string) (id string, ok bool) {
	id = "ak_" + v.pepper.Fingerprint(value).String()[:16]
	if tail := secret.Last4(value); isPlain(tail) {
		id += "." + tail
	}
	return v.admit(id)
}

func isPlain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '.' })
}

// admit takes an id in, unless there are too many.
func (v *LogInventory) admit(id string) (string, bool) {
	if _, there := v.ids[id]; !there {
		if len(v.ids) >= maxLogAPIKeys {
			return "", false
		}
		id = strings.Clone(id)
		v.ids[id] = struct{}{}
	}
	return id, true
}

// shownAPIKeys takes every apikey that a line shows for one, and every name for
// one of an apikey.
type shownAPIKeys struct {
	inventory *LogInventory
	a, b      maphash.Seed
	values    map[digest]string
}

func (k *shownAPIKeys) begin(context.Context) {}

// ByValue implements accesslog.Known.
func (k *shownAPIKeys) ByValue(value string) (id string, ok bool) {
	d := digest{maphash.String(k.a, value), maphash.String(k.b, value)}
	if id, ok = k.values[d]; ok {
		return id, true
	}
	if id, ok = k.inventory.id(value); ok && len(k.values) < maxRemembered {
		k.values[d] = id
	}
	return id, ok
}

// ByName implements accesslog.Known. A name that looks drawn at random may be an
// apikey itself, as where it is the user of Basic authentication: it is not kept.
func (k *shownAPIKeys) ByName(name string) (id string, ok bool) {
	if len(name) > 128 || uuid.Validate(name) != nil && len(name) >= 12 && traffic.IsIdentifier(name) {
		return k.ByValue(name)
	}
	return k.inventory.admit(strings.ToValidUTF8(strings.Clone(name), "?"))
}
