package migration

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/traffic"
)

// ObservedOperation is an operation that callers use and no rule is for, with
// the scopes proposed for it.
type ObservedOperation struct {
	Method   string
	Template string
	Scopes   oauth.Scope
	Calls    int64 // answered with success, in the last 30 days
}

// maxObserved is how many operations are told apart.
const maxObserved = 5000

// Observed lists the operations that known callers used with success and that
// no rule is for, most used first. What was asked for in vain is left out:
// strangers try every door.
func (r *Road) Observed(ctx context.Context) ([]ObservedOperation, error) {
	rules := r.Rules()
	calls := map[operation]int64{}
	err := r.Store.Traffic(ctx, traffic.Filter{From: r.Now().Add(-inventoryWindow)}, func(row traffic.Row) error {
		if !row.MayBeOK() || !row.Credential.Known() || row.Method == "*" || strings.HasSuffix(row.Template, "/**") {
			return nil
		}
		op := operation{row.Method, row.Template}
		if op.method == http.MethodHead {
			op.method = http.MethodGet // a rule for GET takes both
		}
		if _, told := calls[op]; !told && len(calls) >= maxObserved {
			return nil
		}
		calls[op] += row.Calls
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := []ObservedOperation{}
	for op, n := range calls {
		if rules.Candidates(op.method, op.template, traffic.IsIdentifier)[0] != nil {
			continue
		}
		o := ObservedOperation{Method: op.method, Template: op.template, Calls: n}
		if name, ok := scopeName(op.method, op.template); ok {
			o.Scopes = oauth.Scope{name}
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b ObservedOperation) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method))
	})
	return out, nil
}

// ScopeFor names the scope of an operation for which nothing else names one:
// `action:resource`. ok is false where the template does not tell what is
// called.
func ScopeFor(method, template string) (name string, ok bool) { return scopeName(method, template) }
