package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/offkey/offkey/internal/config"
)

// doctorCmd looks for what is wrong.
type doctorCmd struct {
	operatorFlags
	Config string `type:"path" placeholder:"FILE" help:"Where no offkey runs: the configuration file to check. Default ./offkey.yaml if it is there."`
}

func (doctorCmd) Help() string {
	return `Examples:
  offkey doctor
  offkey doctor --json | jq '.findings[] | select(.status != "ok")'

Looks at the configuration, the data directory, the database and the audit log, the clock, the public URLs, the API
behind the gateway and ways round it, and the signing keys. Each finding is [ok], [warning] or [failure], with what to
do. Exit code 6 if there is a failure.`
}

type finding struct {
	Check   string `json:"check"`
	Status  string `json:"status"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

type diagnosis struct {
	OK       bool      `json:"ok"`
	Findings []finding `json:"findings"`
}

// Run examines.
func (c *doctorCmd) Run(ctx context.Context, t *terminal) error {
	var d diagnosis
	err := c.connect().get(ctx, "/doctor", nil, &d)
	var f *failure
	switch {
	case err == nil:
		d.Findings = append([]finding{{Check: "server", Status: "ok", Message: "it answers at " + c.socket()}}, d.Findings...)
	case errors.As(err, &f) && (f.code == "no_server" || f.code == "not_allowed" || f.code == "bad_socket"):
		d = c.alone(f)
	default:
		return err
	}
	if err := d.show(t); err != nil {
		return err
	}
	if !d.OK {
		return &failure{exit: exitUnmet, code: "unhealthy", message: "something is wrong", fix: "see the findings marked [failure]"}
	}
	return nil
}

func (d diagnosis) show(t *terminal) error {
	if t.JSON {
		return t.document(d)
	}
	colours := map[string]string{"ok": "32", "warning": "33", "failure": "31"}
	for _, f := range d.Findings {
		if _, err := fmt.Fprintf(t.Out, "%s %s: %s\n", t.paint(colours[f.Status], "["+f.Status+"]"), printable(f.Check), printable(f.Message)); err != nil {
			return err
		}
		if f.Fix != "" {
			fmt.Fprintf(t.Out, "    fix: %s\n", printable(f.Fix))
		}
	}
	return nil
}

// alone is what can be seen without a server.
func (c *doctorCmd) alone(why *failure) diagnosis {
	d := diagnosis{Findings: []finding{{Check: "server", Status: "failure", Message: why.message, Fix: why.fix}}}
	file := c.Config
	if file == "" {
		file = "offkey.yaml"
	}
	_, err := config.Load(file, os.Environ())
	switch {
	case err == nil:
		d.Findings = append(d.Findings, finding{Check: "configuration", Status: "ok", Message: file + " is valid"})
	case c.Config == "" && errors.Is(err, fs.ErrNotExist):
	default:
		d.Findings = append(d.Findings, finding{Check: "configuration", Status: "failure", Message: err.Error(), Fix: "correct the file"})
	}
	info, err := os.Stat(c.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Findings = append(d.Findings, finding{Check: "data directory", Status: "warning", Message: c.Data + " does not exist", Fix: "name the one in use with --data"})
	case err != nil:
		d.Findings = append(d.Findings, finding{Check: "data directory", Status: "failure", Message: fileCause(err)})
	case info.Mode().Perm()&0o077 != 0:
		d.Findings = append(d.Findings, finding{Check: "data directory", Status: "failure", Message: fmt.Sprintf("%s has mode %04o: others can read it", c.Data, info.Mode().Perm()), Fix: "chmod 700 " + shellQuote(c.Data)})
	default:
		d.Findings = append(d.Findings, finding{Check: "data directory", Status: "ok", Message: c.Data + " is private"})
	}
	return d
}
