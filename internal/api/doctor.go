package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/keyring"
)

// Finding is one thing that doctor has looked at.
type Finding struct {
	Check   string `json:"check"`
	Status  string `json:"status"` // ok, warning or failure
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// The statuses of a Finding.
const (
	FindingOK      = "ok"
	FindingWarning = "warning"
	FindingFailure = "failure"
)

// Surroundings are what doctor looks at besides the store: where things are and
// how they are reached from outside.
type Surroundings struct {
	DataDir   string
	Secrets   []string // files that hold secrets
	Issuer    string   // public URL
	Resource  string   // public URL of the API
	Version   string   // of offkey
	Upstreams []DoctorUpstream
	// HTTP asks the public URLs; nil is a client that trusts what the system
	// trusts.
	HTTP *http.Client
}

// DoctorUpstream is one API.
type DoctorUpstream struct {
	Name string
	URL  string
	HTTP *http.Client // trusts the certificate of the API; nil as in Surroundings
	// WantsAPIKey: it is to receive the caller's former apikey for a token.
	WantsAPIKey bool
}

// examination collects findings.
type examination struct {
	*Server
	Surroundings
	findings []Finding
}

func (x *examination) ok(check, format string, args ...any) {
	x.findings = append(x.findings, Finding{Check: check, Status: FindingOK, Message: fmt.Sprintf(format, args...)})
}

func (x *examination) warning(check, fix, format string, args ...any) {
	x.findings = append(x.findings, Finding{Check: check, Status: FindingWarning, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (x *examination) failure(check, fix, format string, args ...any) {
	x.findings = append(x.findings, Finding{Check: check, Status: FindingFailure, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// examineTimeout bounds everything that doctor asks over the network.
const examineTimeout = 30 * time.Second

func (s *Server) examine(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), examineTimeout)
	defer cancel()
	x := &examination{Server: s, Surroundings: s.o.Surroundings()}
	if x.HTTP == nil {
		x.HTTP = http.DefaultClient
	}
	x.configuration(ctx, event(r, "config.checked", "", nil))
	x.dataDir()
	x.secrets()
	x.data(ctx)
	x.signing(ctx)
	x.issuer(ctx)
	x.gateway(ctx)
	for _, u := range x.Upstreams {
		x.upstream(ctx, u)
		x.tokenCalls(u)
	}
	healthy := true
	for _, f := range x.findings {
		healthy = healthy && f.Status != FindingFailure
	}
	return struct {
		OK       bool      `json:"ok"`
		Findings []Finding `json:"findings"`
	}{healthy, x.findings}, nil
}

func (x *examination) configuration(ctx context.Context, e audit.Event) {
	const check = "configuration"
	file := x.o.Config.File()
	if file == "" {
		x.ok(check, "the process runs without a file, from flags and defaults")
		return
	}
	changes, err := x.o.Config.Reload(ctx, true, e)
	switch {
	case err != nil:
		x.failure(check, "correct the file; what is in force is still the old one", "%s is not valid: %v", file, err)
	case len(changes) > 0:
		x.warning(check, "run `offkey config diff`, then `offkey config reload`", "%s has %d changes that are not in force", file, len(changes))
	default:
		x.ok(check, "%s is valid and in force", file)
	}
}

func (x *examination) dataDir() {
	const check = "data directory"
	info, err := os.Stat(x.DataDir)
	if err != nil {
		x.failure(check, "", "%v", err)
		return
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		x.failure(check, "run `chmod 700 "+x.DataDir+"`", "%s has mode %04o: others can read it", x.DataDir, mode)
		return
	}
	f, err := os.CreateTemp(x.DataDir, ".doctor-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		x.failure(check, "make it writable for the user of the process", "%s cannot be written: %v", x.DataDir, err)
		return
	}
	x.ok(check, "%s is private and writable", x.DataDir)
}

func (x *examination) secrets() {
	const check = "secret files"
	open := 0
	for _, file := range x.Secrets {
		info, err := os.Stat(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			open++
			x.failure(check, "put it back from your backup before the next start", "%s is gone", file)
		case err != nil:
			open++
			x.failure(check, "", "%v", err)
		case info.Mode().Perm()&0o077 != 0:
			open++
			x.failure(check, "run `chmod 600 "+file+"`, and think about who may have read it", "%s has mode %04o: others can read it", file, info.Mode().Perm())
		}
	}
	if open == 0 {
		x.ok(check, "%d, readable for their owner alone", len(x.Secrets))
	}
}

func (x *examination) data(ctx context.Context) {
	if err := x.store.Check(ctx); err != nil {
		x.failure("database", "stop offkey and restore the data directory from a backup", "%v", err)
	} else {
		x.ok("database", "its structure and contents are whole")
	}
	entries, head, err := x.store.VerifyAudit(ctx)
	if err != nil {
		x.failure("audit", "compare with a copy of the log; what was changed cannot be told from the log alone", "the chain breaks after %d entries: %v", entries, err)
		return
	}
	x.ok("audit", "%d entries, unbroken up to entry %d", entries, head.Seq)
}

func (x *examination) signing(ctx context.Context) {
	const check = "signing keys"
	now, ring := x.now(), x.o.Keyring.Current()
	signer, err := ring.Signer(now)
	if err != nil {
		x.failure(check, "run `offkey signing rotate --immediately`", "no key signs: %v", err)
		return
	}
	keys, err := x.store.SigningKeys(ctx)
	if err != nil {
		x.failure(check, "", "%v", err)
		return
	}
	next := "no successor yet"
	for _, k := range keys {
		if k.SignFrom.After(now) && k.Dropped.IsZero() {
			next = "its successor signs from " + k.SignFrom.UTC().Format(time.RFC3339)
		}
		if k.ID == signer.ID() && overdue(k, now) {
			x.warning(check, "run `offkey signing rotate`; the log says why it was not done by itself", "key %s should have been replaced at %s", k.ID, k.SignUntil.UTC().Format(time.RFC3339))
			return
		}
	}
	x.ok(check, "%s signs, %s", signer.ID(), next)
}

// overdue reports whether a key signs longer than it was made for.
func overdue(k keyring.Key, now time.Time) bool {
	return !k.SignUntil.IsZero() && now.After(k.SignUntil.Add(time.Hour))
}
