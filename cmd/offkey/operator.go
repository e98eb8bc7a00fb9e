package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// operatorFlags say which running offkey is meant.
type operatorFlags struct {
	Data   string `default:"offkey-data" env:"OFFKEY_DATA" type:"path" placeholder:"DIR" help:"Data directory of the running offkey. Default ./offkey-data."`
	Socket string `env:"OFFKEY_SOCKET" type:"path" placeholder:"PATH" help:"Its operator socket, where that is not in the data directory."`
	// Server is hidden: it is about all commands of operators, and would stand
	// in the help of each.
	Server string `env:"OFFKEY_SERVER" hidden:"" placeholder:"URL" help:"Another machine's offkey, by the URL of its console, after offkey login --server URL."`
}

func (f operatorFlags) socket() string {
	if f.Socket != "" {
		return f.Socket
	}
	return filepath.Join(f.Data, "offkey.sock")
}

// operator speaks to the management API of a running offkey.
type operator struct {
	socket  string
	http    *http.Client
	headers map[string]string // of every request
	remote  *remote           // nil: over the socket
}

// with adds headers, for what must not be in a URL.
func (o *operator) with(headers map[string]string) *operator {
	o.headers = headers
	return o
}

// connect makes an operator; whether anybody answers is seen at the first
// request.
func (f operatorFlags) connect() *operator {
	if f.Server != "" {
		return connectRemote(f.Server)
	}
	path := f.socket()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &operator{socket: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}}}
}

// maxAnswer bounds one answer of the management API, in bytes.
const maxAnswer = 64 << 20

// get asks for path and reads the answer into into.
func (o *operator) get(ctx context.Context, path string, query url.Values, into any) error {
	return o.send(ctx, http.MethodGet, path, query, nil, into)
}

// send makes a request with a JSON body, nil for none.
func (o *operator) send(ctx context.Context, method, path string, query url.Values, body, into any) error {
	if body == nil {
		return o.stream(ctx, method, path, query, "", nil, into)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return o.stream(ctx, method, path, query, "application/json", bytes.NewReader(raw), into)
}

// stream makes a request whose body is read from body.
func (o *operator) stream(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader, into any) error {
	base := "http://offkey"
	if o.remote != nil {
		base = o.remote.url
	}
	target := base + managementPath + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, value := range o.headers {
		req.Header.Set(name, value)
	}
	if o.remote != nil {
		if err := o.remote.authorize(ctx, req); err != nil {
			return err
		}
	}
	resp, err := o.http.Do(req)
	if err != nil {
		return o.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return o.unreachable(ctx, err)
	case len(raw) > maxAnswer:
		return failed("too_large", fmt.Sprintf("the answer has more than %d MiB", maxAnswer>>20), "ask for less, with --limit", nil)
	case resp.StatusCode >= 400:
		return problemOf(resp, raw)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return failed("bad_answer", fmt.Sprintf("what answers at %s is not an offkey of this release", o.socket), "use the command of the same release as the server", err)
	}
	return nil
}

// unreachable says why nobody answers, and how to change that.
func (o *operator) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if o.remote != nil {
		return failed("no_server", fmt.Sprintf("the offkey at %s does not answer: %v", o.remote.url, cause(err)), "see whether it runs, and whether listen.admin_url is how it is reached from here", err)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return failed("no_server", "no offkey is running: nobody answers at "+o.socket,
			"start one with `offkey up --upstream URL`, or name the data directory of the one that runs with --data DIR", err)
	case errors.Is(err, fs.ErrPermission):
		return failed("not_allowed", "you may not open "+o.socket, "run the command as the user that offkey runs as, or as root", err)
	case errors.Is(err, syscall.EINVAL):
		return failed("bad_socket", fmt.Sprintf("the path of the operator socket is too long for this system (%d bytes): %s", len(o.socket), o.socket),
			"start offkey with a shorter --socket PATH, and give the same to this command", err)
	}
	return failed("no_server", fmt.Sprintf("the offkey at %s does not answer: %v", o.socket, cause(err)), "see its log", err)
}

// cause is the error without the address that is not one.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// problemOf turns a problem document into the failure of a command.
func problemOf(resp *http.Response, raw []byte) error {
	var p struct{ Code, Detail, Fix string }
	if json.Unmarshal(raw, &p) != nil || p.Detail == "" {
		return failed("bad_answer", "the server answers "+resp.Status, "use the command of the same release as the server", nil)
	}
	f := failed(p.Code, p.Detail, p.Fix, nil)
	switch resp.StatusCode {
	case http.StatusBadRequest:
		f.exit = exitUsage
	case http.StatusUnauthorized:
		f.exit, f.fix = exitSignIn, "run `offkey login --server URL` again"
	}
	return f
}

// at writes a path whose ids come from people. What a path would swallow is
// written so that it is looked for and not found.
func at(format string, ids ...string) string {
	escaped := make([]any, len(ids))
	for i, id := range ids {
		if strings.Trim(id, ".") == "" {
			id = "(" + id + ")"
		}
		escaped[i] = url.PathEscape(id)
	}
	return fmt.Sprintf(format, escaped...)
}

// parameters are query parameters; empty ones are left out.
func parameters(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	return values
}

// whenTrue is a parameter's value.
func whenTrue(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// pageSize is how many items are asked for at once.
const pageSize = 1000

// listing is what a list command shows: items as they came, and where the next
// page starts.
type listing struct {
	items []json.RawMessage
	next  *string
}

// list reads up to limit items of a list, page by page; 0 is all of it.
func (o *operator) list(ctx context.Context, path, things string, query url.Values, limit int) (listing, error) {
	var found listing
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(found.items))
		}
		query.Set("limit", strconv.Itoa(size))
		var page map[string]json.RawMessage
		if err := o.get(ctx, path, query, &page); err != nil {
			return listing{}, err
		}
		var items []json.RawMessage
		found.next = nil
		if err := errors.Join(json.Unmarshal(page[things], &items), json.Unmarshal(page["next"], &found.next)); err != nil {
			return listing{}, failed("bad_answer", "the server's list has another form than this command knows", "use the command of the same release as the server", err)
		}
		found.items = append(found.items, items...)
		if found.next == nil || len(items) == 0 || limit > 0 && len(found.items) >= limit {
			return found, nil
		}
		query.Set("after", *found.next)
	}
}

// confirm asks before something that cannot be taken back. Without a terminal
// there is nobody to ask, and --yes must have been given.
func (t *terminal) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(t.In) {
		return wrongUsage(question+" Nobody is there to say yes", "add --yes, or look first with --dry-run")
	}
	fmt.Fprintf(t.Err, "%s [y/N] ", question)
	var answer string
	_, _ = fmt.Fscanln(t.In, &answer) // no answer is a no
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return &failure{exit: exitCancelled, code: "cancelled", message: "cancelled: nothing was changed"}
	}
	return nil
}
