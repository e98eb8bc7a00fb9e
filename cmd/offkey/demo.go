package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/config"
)

// demoCmd tells the whole story on the terminal: an API with keys, three
// programs that use it, and one of them leaving its key. Nothing in it is
// played: the servers listen, the calls are made, and what is shown came out of
// the commands that are shown.
type demoCmd struct {
	Keep bool `help:"Leave everything running after the story, to play with, until Ctrl-C."`
}

func (demoCmd) Help() string {
	return `Examples:
  offkey demo
  offkey demo --keep

Takes about ten seconds, listens on loopback alone, on ports that the system chooses, and leaves nothing behind.
Exit code 1 if a step does not show what it should.`
}

// demo is what runs while the story is told.
type demo struct {
	t        *terminal
	dir      string // of everything, gone with the demo
	data     string
	patience time.Duration // with each thing that is waited for
	began    time.Time
	close    []func() error // the last first
	up       upCmd
	offkey   app.Addresses
	callers  []*demoCaller
	scenes   []scene
}

// scene is one step of the story as --json has it.
type scene struct {
	Title    string   `json:"title"`
	Commands []string `json:"commands"`
	Shows    string   `json:"shows"`
}

// Run tells the story and clears everything away.
func (c demoCmd) Run(ctx context.Context, t *terminal) (err error) {
	d, err := openDemo(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	if err := d.start(ctx, newProductsAPI); err != nil {
		return err
	}
	if err := d.tell(ctx); err != nil {
		return cmp.Or(ctx.Err(), err) // what fails after an interruption fails for it
	}
	if err := d.sum(c.Keep); err != nil {
		return err
	}
	if c.Keep {
		d.invite()
		<-ctx.Done() // Ctrl-C is how this ends
	}
	return nil
}

// openDemo makes the folder. Settings of an offkey that its user may have are
// put aside: what the demo changes must be the demo's.
func openDemo(t *terminal) (*demo, error) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OFFKEY_") {
			if err := os.Unsetenv(name); err != nil {
				return nil, err
			}
		}
	}
	dir, err := os.MkdirTemp("", "offkey-demo-")
	if err != nil {
		return nil, failed("not_writable", err.Error(), "set TMPDIR to a folder that is writable", err)
	}
	own := *t
	own.Colour = wantsColour(t.Out, t.Env)
	d := &demo{t: &own, dir: dir, data: filepath.Join(dir, "data"), patience: 20 * time.Second, began: t.Now()}
	d.close = append(d.close, func() error { return os.RemoveAll(dir) })
	return d, nil
}

// end stops what runs, the last first.
func (d *demo) end() error {
	var errs []error
	for i := len(d.close) - 1; i >= 0; i-- {
		errs = append(errs, d.close[i]())
	}
	return errors.Join(errs...)
}

// start brings up the API, offkey in front of it, and the callers.
func (d *demo) start(ctx context.Context, newAPI func(keys map[string]string) http.Handler) error {
	d.callers = newDemoCallers()
	keys := map[string]string{}
	for _, c := range d.callers {
		keys[c.key] = c.name
		if err := os.WriteFile(d.keyFile(c), []byte(c.key+"\n"), 0o600); err != nil {
			return err
		}
	}
	upstream, err := d.serveAPI(newAPI(keys))
	if err != nil {
		return err
	}
	d.up = upCmd{
		Upstream: upstream, Data: d.data, TokenCall: "apikey",
		APIKeyIn: []string{"header:X-API-Key", "authorization:KEY", "query:api_key"},
	}
	const free = "127.0.0.1:0" // the system chooses the port
	listeners, err := app.Bind(config.Listen{Gateway: free, Issuer: free, Admin: free, Ops: free})
	if err != nil {
		return failed("cannot_listen", err.Error(), "", err)
	}
	cfg, err := d.up.config(listeners)
	if err != nil {
		return errors.Join(err, listeners.Close())
	}
	running, err := app.Start(ctx, cfg, listeners, app.Options{Log: d.t.logger(cfg), Version: version})
	if err != nil {
		return failed("cannot_start", err.Error(), "", errors.Join(err, listeners.Close()))
	}
	d.offkey = running.Addresses()
	d.close = append(d.close, func() error { return stop(running) })
	d.close = append(d.close, letThemCall(d.callers, d.offkey.Gateway))
	return nil
}

func (d *demo) keyFile(c *demoCaller) string { return filepath.Join(d.dir, c.name+".apikey") }

// callerDir is where a caller keeps its client.
func (d *demo) callerDir(c *demoCaller) string { return filepath.Join(d.dir, c.name) }

// serveAPI puts a handler on a port of its own.
func (d *demo) serveAPI(h http.Handler) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", failed("cannot_listen", err.Error(), "", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // ErrServerClosed: it ends with the demo
	}()
	d.close = append(d.close, func() error {
		err := server.Close()
		<-ended
		return err
	})
	return app.URLOf(l, "http"), nil
}

// command runs a command of offkey as typed, shows both, and returns what it
// said. Its exit code must be the one that the story tells of.
func (d *demo) command(ctx context.Context, want int, args ...string) (string, error) {
	typed := typedCommand(args)
	d.show("%s", d.t.paint("36", "$ "+typed))
	var said bytes.Buffer
	code := run(ctx, args, strings.NewReader(""), &said, &said, d.t.Env)
	d.show("%s", strings.TrimRight(said.String(), "\n"))
	last := &d.scenes[len(d.scenes)-1]
	last.Commands = append(last.Commands, typed)
	if code != want {
		return "", d.broken("`%s` ended with exit code %d, not %d: %s", typed, code, want, said.String())
	}
	return said.String(), nil
}

// ask runs a command with --json, unseen, and reads its document.
func (d *demo) ask(ctx context.Context, into any, args ...string) error {
	var out, errOut bytes.Buffer
	args = append([]string{"--json"}, args...)
	if code := run(ctx, args, strings.NewReader(""), &out, &errOut, d.t.Env); code != exitOK {
		return d.broken("`%s` ended with exit code %d: %s", typedCommand(args), code, errOut.String())
	}
	return json.Unmarshal(out.Bytes(), into)
}

func typedCommand(args []string) string {
	typed := "offkey"
	for _, arg := range args {
		typed += " " + shellQuote(arg)
	}
	return typed
}

// broken is the failure of a step that does not show what it should.
func (d *demo) broken(format string, args ...any) error {
	return failed("demo_broken", fmt.Sprintf("step %d, %s: ", len(d.scenes), d.scenes[len(d.scenes)-1].Title)+fmt.Sprintf(format, args...),
		"run it again; if it stays so, please report it with this output", nil)
}

// scene begins a step.
func (d *demo) scene(title string) {
	d.scenes = append(d.scenes, scene{Title: title, Commands: []string{}})
	d.show("\n%s", d.t.paint("1", fmt.Sprintf("%d. %s", len(d.scenes), title)))
}

// shows ends a step with what was seen in it.
func (d *demo) shows(format string, args ...any) {
	words := fmt.Sprintf(format, args...)
	d.scenes[len(d.scenes)-1].Shows = words
	d.show("%s %s", d.t.paint("32", "[ok]"), words)
}

// show writes to the transcript, which is the output of this command.
func (d *demo) show(format string, args ...any) {
	if !d.t.JSON {
		fmt.Fprintf(d.t.Out, format+"\n", args...)
	}
}

// waitFor waits until a condition holds, with a line of progress that a
// terminal shows in place.
func (d *demo) waitFor(ctx context.Context, what string, holds func() (progress string, ok bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	live := !d.t.JSON && isTerminal(d.t.Out)
	for {
		progress, ok, err := holds()
		if live {
			fmt.Fprint(d.t.Out, "\r\x1b[K") // the line before
		}
		if ok || err != nil {
			return err
		}
		if live {
			fmt.Fprintf(d.t.Out, "%s: %s", what, progress)
		}
		select {
		case <-ctx.Done():
			return d.broken("waited in vain for %s: %s", what, progress)
		case <-time.After(150 * time.Millisecond):
		}
	}
}

// sum closes the story.
func (d *demo) sum(keep bool) error {
	took := d.t.Now().Sub(d.began).Round(100 * time.Millisecond)
	d.show("\n%s", d.t.paint("1", fmt.Sprintf("All as it should be, in %s.", took)))
	if !d.t.JSON {
		return nil
	}
	document := map[string]any{"ok": true, "seconds": took.Seconds(), "steps": d.scenes}
	if keep {
		document["upstream"], document["offkey"] = d.up.Upstream, d.offkey
	}
	return d.t.document(document)
}

// invite says how to play on.
func (d *demo) invite() {
	at := " --data " + shellQuote(d.data)
	d.show("\nIt goes on running, and the programs go on calling, until Ctrl-C; then all of it is removed.")
	for _, line := range [][2]string{
		{"the API", d.up.Upstream}, {"through offkey", d.offkey.Gateway}, {"issuer", d.offkey.Issuer}, {"ops", d.offkey.Ops + "/readyz"}, {"data", d.data},
	} {
		d.show("  %-15s %s", line[0], line[1])
	}
	d.show("\nTry in another terminal:")
	for _, command := range []string{
		"offkey status --watch" + at,
		"offkey apikeys list" + at,
		"offkey stage set warn --all --until 2030-01-31" + at,
		"offkey upgrade --api " + d.offkey.Gateway + " --apikey-file " + shellQuote(d.keyFile(d.callers[1])) + " --dir " + shellQuote(d.callerDir(d.callers[1])),
		"offkey doctor" + at,
	} {
		d.show("  %s", command)
	}
}
