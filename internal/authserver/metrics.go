package authserver

import (
	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the authorization server does. No label can be chosen by
// a caller, so that there is a fixed number of them.
type Metrics struct {
	issued   map[string]prometheus.Counter
	failures map[string]prometheus.Counter
	compat   map[string]prometheus.Counter
	all      []prometheus.Collector
}

// NewMetrics makes the counters. Give Collectors to a registry to have them
// shown.
func NewMetrics() *Metrics {
	m := &Metrics{}
	m.issued = m.counters("offkey_token_issued_total", "Access tokens issued, by how the caller proved itself.", "auth",
		oauth.AuthClientSecretBasic, oauth.AuthClientSecretPost, oauth.AuthPrivateKeyJWT, oauth.AuthTLSClient, oauth.AuthSelfSignedTLSClient, oauth.AuthNone, "apikey")
	m.failures = m.counters("offkey_client_auth_failures_total", "Failed client authentications, by cause.", "cause", clientauth.Causes...)
	m.compat = m.counters("offkey_assertion_compat_total", "Client assertions accepted by audience: compat, by what was let in.", "what",
		"audience", "lifetime")
	return m
}

// Collectors are what to register.
func (m *Metrics) Collectors() []prometheus.Collector { return m.all }

func (m *Metrics) counters(name, help, label string, values ...string) map[string]prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	m.all = append(m.all, vec)
	bound := make(map[string]prometheus.Counter, len(values))
	for _, v := range values {
		bound[v] = vec.WithLabelValues(v)
	}
	return bound
}

func (m *Metrics) tokenIssued(how string)  { count(m.issued, how) }
func (m *Metrics) authFailed(cause string) { count(m.failures, cause) }
func (m *Metrics) compatUsed(what string)  { count(m.compat, what) }

func count(bound map[string]prometheus.Counter, value string) {
	if c := bound[value]; c != nil {
		c.Inc()
	}
}
