package gateway

import (
	"errors"
	"sync/atomic"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the counters of the gateway. Those of a call are bound to their
// labels once, since finding them by label costs more than counting.
type metrics struct {
	requests  *prometheus.CounterVec
	wouldDeny *prometheus.CounterVec
	problems  *prometheus.CounterVec

	bound [policy.ForeignToken + 1][apikey.Blocked + 1][maxOutcomes]atomic.Pointer[prometheus.Counter]
	deny  [maxOutcomes]atomic.Pointer[prometheus.Counter]
}

const maxOutcomes = 48

var kindNames = [...]string{
	policy.Nobody: "none", policy.KnownAPIKey: "apikey", policy.UnknownAPIKey: "apikey_unknown",
	policy.TokenClient: "token", policy.BadToken: "token_bad", policy.ForeignToken: "token_foreign",
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "offkey_requests_total",
			Help: "Calls through the gateway, by the kind of credential, the stage of the apikey and the decision.",
		}, []string{"credential", "stage", "decision"}),
		wouldDeny: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "offkey_would_deny_total",
			Help: "Calls that passed and would be refused if every rule that is counted were enforced, by code.",
		}, []string{"code"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "offkey_strict_problems_total",
			Help: "Requests that the strict rules refuse, or would, by the reason.",
		}, []string{"problem"}),
	}
	if r == nil {
		return m, nil
	}
	for _, vec := range [...]**prometheus.CounterVec{&m.requests, &m.wouldDeny, &m.problems} {
		if err := r.Register(*vec); err != nil {
			var there prometheus.AlreadyRegisteredError
			if !errors.As(err, &there) {
				return nil, err
			}
			// A gateway built anew after a reload goes on counting.
			*vec = there.ExistingCollector.(*prometheus.CounterVec)
		}
	}
	return m, nil
}

// count counts a call that was judged.
func (m *metrics) count(c *call) {
	decided := outcomes[c.decision.Code]
	stage := c.decision.Stage
	slot := &m.bound[c.principal.Kind][stage][decided.index]
	counter := slot.Load()
	if counter == nil {
		name := ""
		if stage != apikey.Inherit {
			name = stage.String()
		}
		made := m.requests.WithLabelValues(kindNames[c.principal.Kind], name, c.decision.Code)
		counter = &made
		slot.Store(counter)
	}
	(*counter).Inc()
	if c.decision.Shadow != "" {
		m.countShadow(c.decision.Shadow)
	}
	if c.problem != "" {
		m.problems.WithLabelValues(string(c.problem)).Inc()
	}
}

func (m *metrics) countShadow(code string) {
	slot := &m.deny[outcomes[code].index]
	counter := slot.Load()
	if counter == nil {
		made := m.wouldDeny.WithLabelValues(code)
		counter = &made
		slot.Store(counter)
	}
	(*counter).Inc()
}
