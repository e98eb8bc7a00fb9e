package app

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// health answers /livez and /readyz: the process is alive; it can do its work.
type health struct {
	draining atomic.Bool
	checks   []check
}

// check is one condition of readiness.
type check struct {
	name string
	run  func(context.Context) error
}

// checkTimeout bounds all checks of one /readyz request.
const checkTimeout = 2 * time.Second

func (h *health) live(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// ready lists the checks with ?verbose, and always those that failed.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	var lines []string
	failed := false
	if h.draining.Load() {
		failed = true
		lines = append(lines, "[-] draining: the process is stopping")
	}
	for _, c := range h.checks {
		if err := c.run(ctx); err != nil {
			failed = true
			lines = append(lines, fmt.Sprintf("[-] %s: %v", c.name, err))
		} else if r.URL.Query().Has("verbose") {
			lines = append(lines, "[+] "+c.name)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if failed {
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		lines = append(lines, "ok")
	}
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}

// opsHandler serves health and metrics.
func opsHandler(h *health, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", h.live)
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	return mux
}

// newMetrics makes the registry with the process's own figures.
func newMetrics() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
