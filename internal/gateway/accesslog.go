package gateway

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/policy"
)

// accessLog writes a line per call, from a goroutine of its own: a log that
// blocks must not hold up calls. What does not fit is dropped and counted. A
// line holds the path and never the query, no credential, and no address; of what
// is longer than usual the beginning.
type accessLog struct {
	log     *slog.Logger // nil: off
	lines   chan accessLine
	dropped atomic.Int64
}

type accessLine struct {
	at       time.Time
	took     time.Duration
	method   string
	host     string
	path     string
	status   int
	kind     policy.Kind
	id       string
	decision string
	outcome  string
}

const accessBacklog = 4096

func newAccessLog(log *slog.Logger) *accessLog {
	a := &accessLog{log: log}
	if log != nil {
		a.lines = make(chan accessLine, accessBacklog)
	}
	return a
}

// note queues the line of a call that has ended.
func (a *accessLog) note(c *call) {
	if a.log == nil || c.r == nil {
		return
	}
	line := accessLine{
		at: c.at, took: c.g.Now().Sub(c.at), method: kept(c.r.Method), host: kept(c.r.Host),
		path:   kept(c.withoutSecrets(c.g.Reader.Redact(c.target.Path))),
		status: c.status, kind: c.principal.Kind, id: c.principal.ID, decision: c.decision.Code, outcome: c.outcome,
	}
	select {
	case a.lines <- line:
	default:
		a.dropped.Add(1)
	}
}

// kept is what a line keeps of s, apart from the request that s is a part of.
func kept(s string) string { return strings.Clone(beginning(s)) }

func (a *accessLog) run(ctx context.Context) {
	if a.log == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			for len(a.lines) > 0 {
				a.write(<-a.lines)
			}
			return
		case line := <-a.lines:
			a.write(line)
		}
	}
}

// write writes one line; slog quotes what could forge another.
func (a *accessLog) write(l accessLine) {
	if n := a.dropped.Swap(0); n > 0 {
		a.log.Warn("access log lines dropped", slog.Int64("lines", n))
	}
	a.log.LogAttrs(context.Background(), slog.LevelInfo, "call",
		slog.Time("at", l.at), slog.String("method", l.method), slog.String("host", l.host), slog.String("path", l.path),
		slog.Int("status", l.status), slog.Duration("took", l.took), slog.String("credential", kindNames[l.kind]),
		slog.String("id", l.id), slog.String("decision", l.decision), slog.String("outcome", l.outcome))
}
