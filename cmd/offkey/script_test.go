package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/app"
	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds whatever a script waits for.
const patience = 30 * time.Second

// TestScripts runs testdata/script: offkey as people and their scripts use it,
// in processes of its own. Beside testscript's commands there are
//
//	api                       a products API that wants a key: sets API, and the keys SHOP, STOCK and BOARD, which
//	                          are in shop.apikey and so on; api stop|start, api clock TIME by which it is fast
//	start NAME VAR=… ARG…     an offkey that stays, once it is ready: sets GATEWAY, ISSUER, OPS
//	stop NAME                 SIGTERM, and its log as stderr; `signal NAME HUP|KILL` sends another
//	logged NAME PATTERN       waits until the log has it
//	call METHOD URL HEADER…   one call: stdout is the answer; ! call is one that gets no answer
//	traffic NAME METHOD URL HEADER…   calls again and again, until `traffic NAME stop`: stdout is how they were answered
//	until PATTERN COMMAND…    runs the command until its stdout matches
//	json STEP… VALUE          checks a value of the document on stdout; json STEP… > VAR keeps it; jsonerr looks at stderr
//
// and those of worldCommands, about what an offkey stands on.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[worldKey{}] = &world{processes: map[string]*process{}, traffic: map[string]*traffic{}}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("GORACE", "halt_on_error=1 exitcode=66")
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "disk":
				return mayMount(t), nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: commandsOf(map[string]command{
			"api": (*world).api, "start": (*world).start, "stop": (*world).stop, "signal": (*world).signal, "logged": (*world).logged,
			"call": (*world).call, "traffic": (*world).makeTraffic, "until": (*world).until, "json": (*world).json, "jsonerr": (*world).jsonerr,
		}, worldCommands),
	})
}

// world is what the commands of one script have made.
type world struct {
	server    *http.Server
	handler   http.Handler
	address   string
	clock     atomic.Int64 // by which the API's clock is fast, in ns
	processes map[string]*process
	traffic   map[string]*traffic
}

// worldKey is where a script keeps its world.
type worldKey struct{}

type command func(w *world, ts *testscript.TestScript, neg bool, args []string)

func commandsOf(tables ...map[string]command) map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){}
	for _, table := range tables {
		for name, run := range table {
			all[name] = func(ts *testscript.TestScript, neg bool, args []string) {
				run(ts.Value(worldKey{}).(*world), ts, neg, args)
			}
		}
	}
	return all
}

// need fails the script unless a command has at least n arguments.
func need(ts *testscript.TestScript, usage string, args []string, n int) {
	if len(args) < n {
		ts.Fatalf("usage: %s", usage)
	}
}

// api serves the API of the demo. Its keys are made anew for each script.
func (w *world) api(ts *testscript.TestScript, _ bool, args []string) {
	switch {
	case len(args) == 1 && args[0] == "stop":
		ts.Check(w.server.Close())
		return
	case len(args) == 2 && args[0] == "clock":
		fast, err := time.ParseDuration(args[1])
		ts.Check(err)
		w.clock.Store(int64(fast))
		return
	case len(args) == 0:
		keys := map[string]string{}
		for _, name := range []string{"SHOP", "STOCK", "BOARD"} {
			key := "shop_" + rand.Text()
			keys[key] = name
			ts.Setenv(name, key)
			ts.Check(os.WriteFile(ts.MkAbs(strings.ToLower(name)+".apikey"), []byte(key+"\n"), 0o600))
		}
		w.handler, w.address = newProductsAPI(keys), "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", w.address)
	ts.Check(err)
	w.address = l.Addr().String()
	w.server = &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Date", time.Now().Add(time.Duration(w.clock.Load())).UTC().Format(http.TimeFormat))
		w.handler.ServeHTTP(rw, r)
	})}
	server, ended := w.server, make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // ErrServerClosed
	}()
	ts.Setenv("API", "http://"+w.address)
	ts.Defer(func() {
		_ = server.Close()
		<-ended
	})
}

// process is an offkey that a script has started.
type process struct {
	cmd   *exec.Cmd
	log   *lockedBuffer
	ended chan struct{} // closed when it is gone
}

// lockedBuffer is a buffer that is read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startProcess runs offkey until it says that it is ready.
func startProcess(dir string, env, args []string) (*process, app.Addresses, error) {
	p := &process{cmd: exec.Command("offkey", args...), log: &lockedBuffer{}, ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = dir, env, p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, app.Addresses{}, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, app.Addresses{}, err
	}
	lines := bufio.NewScanner(out)
	ready := make(chan []byte, 1)
	go func() {
		defer close(p.ended)
		if lines.Scan() {
			ready <- slices.Clone(lines.Bytes())
		}
		close(ready)
		_, _ = io.Copy(io.Discard, out)
		_ = p.cmd.Wait() // its exit code is in ProcessState
	}()
	var at app.Addresses
	select {
	case line, ok := <-ready:
		if !ok {
			<-p.ended
			return nil, at, fmt.Errorf("offkey %s ended with %d: %s", strings.Join(args, " "), p.cmd.ProcessState.ExitCode(), p.log)
		}
		return p, at, json.Unmarshal(line, &at)
	case <-time.After(patience):
		p.kill()
		return nil, at, fmt.Errorf("offkey %s is not ready: %s", strings.Join(args, " "), p.log)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.ended
}

// wait waits until the process has ended by itself.
func (p *process) wait() (code int, err error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		p.kill()
		return -1, fmt.Errorf("it does not end: %s", p.log)
	}
}

// anyPort are flags that have the system choose the ports.
var anyPort = []string{"--gateway", "127.0.0.1:0", "--issuer", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ops", "127.0.0.1:0"}

// start adds ports to `up`, which nobody else may have, unless it names some.
func (w *world) start(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, "start NAME [VAR=VALUE…] ARG…", args, 2)
	name, args := args[0], args[1:]
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "GORACE=" + ts.Getenv("GORACE"), "NO_COLOR=1"}
	for strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	if args[0] == "up" && !slices.Contains(args, "--gateway") {
		args = append(args, anyPort...)
	}
	p, at, err := startProcess(ts.MkAbs("."), env, append(args, "--json"))
	if neg {
		if err == nil {
			ts.Fatalf("it started")
		}
		fmt.Fprint(ts.Stderr(), err)
		return
	}
	ts.Check(err)
	w.processes[name] = p
	ts.Defer(func() {
		p.kill()
		ts.Logf("[log of %s]\n%s", name, p.log)
	})
	if at.Gateway == "" {
		return // an agent: its address is known
	}
	ts.Setenv("GATEWAY", at.Gateway)
	ts.Setenv("ISSUER", at.Issuer)
	ts.Setenv("OPS", at.Ops)
	ts.Setenv("SETUP", at.Setup)
	ts.Setenv("PID", strconv.Itoa(p.cmd.Process.Pid))
}

func (w *world) process(ts *testscript.TestScript, name string) *process {
	p := w.processes[name]
	if p == nil {
		ts.Fatalf("no %s was started", name)
	}
	return p
}

func (w *world) signal(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "signal NAME HUP|KILL|TERM", args, 2)
	p := w.process(ts, args[0])
	which, ok := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM}[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ts.Check(p.cmd.Process.Signal(which))
	if which == syscall.SIGKILL {
		<-p.ended
	}
}

func (w *world) stop(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, "stop NAME", args, 1)
	p := w.process(ts, args[0])
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	code, err := p.wait()
	ts.Check(err)
	fmt.Fprint(ts.Stderr(), p.log)
	if (code == 0) == neg {
		ts.Fatalf("%s ended with exit code %d", args[0], code)
	}
}

func (w *world) logged(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "logged NAME PATTERN", args, 2)
	p, pattern := w.process(ts, args[0]), regexp.MustCompile(args[1])
	wait(ts, func() (string, bool) { return p.log.String(), pattern.MatchString(p.log.String()) })
}

// wait waits until something holds, and fails the script with what was last
// seen if it does not.
func wait(ts *testscript.TestScript, holds func() (seen string, ok bool)) {
	deadline := time.Now().Add(patience)
	for {
		seen, ok := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waited in vain; last seen: %s", seen)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// request makes a request of METHOD URL HEADER…; a header that begins with @ is
// the body.
func request(ctx context.Context, args []string) (*http.Request, error) {
	var body string
	header := http.Header{"User-Agent": {"script/1.0"}}
	for _, line := range args[2:] {
		if text, ok := strings.CutPrefix(line, "@"); ok {
			body = text
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		header[http.CanonicalHeaderKey(name)] = []string{strings.TrimSpace(value)}
	}
	req, err := http.NewRequestWithContext(ctx, args[0], args[1], strings.NewReader(body))
	if err == nil {
		req.Header = header
	}
	return req, err
}

// call makes a call over a connection of its own.
func (w *world) call(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, "call METHOD URL [NAME: VALUE…] [@BODY]", args, 2)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := request(ctx, args)
	ts.Check(err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: ownRoots(ts)}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if neg {
		if err == nil {
			ts.Fatalf("answered with %s", resp.Status)
		}
		return
	}
	ts.Check(err)
	defer resp.Body.Close()
	fmt.Fprintf(ts.Stdout(), "%d\n", resp.StatusCode)
	ts.Check(resp.Header.Write(ts.Stdout()))
	fmt.Fprintln(ts.Stdout())
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
}

// ownRoots trusts the certificate that the script has made, if it has.
func ownRoots(ts *testscript.TestScript) *tls.Config {
	raw, err := os.ReadFile(ts.MkAbs("cert.pem"))
	if err != nil {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	return &tls.Config{RootCAs: roots}
}

// traffic is a caller that calls again and again.
type traffic struct {
	stop context.CancelFunc
	done sync.WaitGroup
	seen map[string]int // by answer; read when done
}

func (w *world) makeTraffic(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "traffic NAME METHOD URL [HEADER…], then traffic NAME stop", args, 2)
	name := args[0]
	if args[1] == "stop" {
		tr := w.traffic[name]
		delete(w.traffic, name)
		tr.stop()
		tr.done.Wait()
		for _, answer := range slices.Sorted(maps.Keys(tr.seen)) {
			fmt.Fprintf(ts.Stdout(), "%s %d\n", answer, tr.seen[answer])
		}
		return
	}
	need(ts, "traffic NAME METHOD URL [HEADER…]", args, 3)
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{stop: cancel, seen: map[string]int{}}
	w.traffic[name] = tr
	ts.Defer(func() { cancel(); tr.done.Wait() })
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	tr.done.Go(func() {
		defer client.CloseIdleConnections()
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(15 * time.Millisecond):
			}
			req, err := request(context.Background(), args[1:])
			if err != nil {
				tr.seen[err.Error()]++
				continue
			}
			req.Header.Set("User-Agent", name+"/1.0")
			resp, err := client.Do(req)
			if err != nil {
				tr.seen["failed"]++
				continue
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			tr.seen[strconv.Itoa(resp.StatusCode)]++
		}
	})
}

func (w *world) until(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "until PATTERN COMMAND…", args, 2)
	pattern := regexp.MustCompile(args[0])
	wait(ts, func() (string, bool) {
		err := ts.Exec(args[1], args[2:]...)
		said := ts.ReadFile("stdout")
		return fmt.Sprintf("%v %s", err, said), pattern.MatchString(said)
	})
}

// json reads the last stdout.
func (w *world) json(ts *testscript.TestScript, neg bool, args []string) {
	readJSON(ts, "stdout", neg, args)
}

func (w *world) jsonerr(ts *testscript.TestScript, neg bool, args []string) {
	readJSON(ts, "stderr", neg, args)
}

func readJSON(ts *testscript.TestScript, from string, neg bool, args []string) {
	need(ts, "json STEP… VALUE, or json STEP… > VAR", args, 2)
	path, last := args[:len(args)-1], args[len(args)-1]
	raw := ts.ReadFile(from)
	decoder := json.NewDecoder(strings.NewReader(raw))
	decoder.UseNumber()
	var document any
	if err := decoder.Decode(&document); err != nil || decoder.More() {
		ts.Fatalf("%s is not one JSON document (%v): %s", from, err, raw)
	}
	if kept, ok := cutLast(path, ">"); ok {
		found, err := valueAt(document, kept)
		ts.Check(err)
		ts.Setenv(last, found)
		return
	}
	found, err := valueAt(document, path)
	ts.Check(err)
	if (found == last) == neg {
		ts.Fatalf("%s is %s", strings.Join(path, " "), found)
	}
}

func cutLast(list []string, last string) ([]string, bool) {
	if n := len(list) - 1; n >= 0 && list[n] == last {
		return list[:n], true
	}
	return list, false
}

// valueAt finds a value by the names of members, the indices of elements,
// `name=value` for the element that has it, and len.
func valueAt(v any, path []string) (string, error) {
	for _, step := range path {
		switch in := v.(type) {
		case map[string]any:
			next, ok := in[step]
			if !ok {
				return "", fmt.Errorf("no %s in %v", step, in)
			}
			v = next
		case []any:
			next, err := element(in, step)
			if err != nil {
				return "", err
			}
			v = next
		default:
			return "", fmt.Errorf("%s of what is no list and no object: %v", step, v)
		}
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	raw, err := json.Marshal(v)
	return string(raw), err
}

func element(list []any, step string) (any, error) {
	if step == "len" {
		return json.Number(strconv.Itoa(len(list))), nil
	}
	name, value, named := strings.Cut(step, "=")
	if named {
		for _, e := range list {
			if found, err := valueAt(e, []string{name}); err == nil && found == value {
				return e, nil
			}
		}
		return nil, fmt.Errorf("none with %s in %v", step, list)
	}
	i, err := strconv.Atoi(step)
	if err != nil || i < 0 || i >= len(list) {
		return nil, errors.Join(err, fmt.Errorf("no element %s in %v", step, list))
	}
	return list[i], nil
}
