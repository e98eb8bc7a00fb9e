// Package load sends HTTP/1.1 requests to one server over a fixed number of
// kept-open connections, each sending its next request when the last one is
// answered, and tells how long the answers took.
//
// It writes requests as bytes that are ready beforehand and reads no more of
// an answer than it must, because it shares a machine with what it measures.
// What the server used is not its business: see [Process].
package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Load is what is to be sent.
type Load struct {
	Addr        string             // host:port
	Connections int                // how many at once
	Requests    int                // how many in all
	Request     func(i int) []byte // the bytes of request i, called once for each
	Status      int                // the status that every answer must have
}

// Result is how the answers came.
type Result struct {
	Requests int
	Took     time.Duration
	P50, P99 time.Duration
}

// patience bounds one answer.
const patience = 20 * time.Second

// Run sends the load. The first answer that is not as expected ends it with an
// error: a server that refuses quickly would look like a fast one.
func (l Load) Run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	took := make([][]time.Duration, l.Connections)
	var all sync.WaitGroup
	start := time.Now()
	for i := range took {
		all.Go(func() {
			var err error
			if took[i], err = l.drive(ctx, &next); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	whole := time.Since(start)
	if err := context.Cause(ctx); err != nil {
		return Result{}, err
	}
	times := slices.Concat(took...)
	slices.Sort(times)
	return Result{Requests: len(times), Took: whole, P50: quantile(times, 0.50), P99: quantile(times, 0.99)}, nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// drive is one connection.
func (l Load) drive(ctx context.Context, next *atomic.Int64) ([]time.Duration, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	took := make([]time.Duration, 0, l.Requests/l.Connections+64)
	for ctx.Err() == nil {
		i := int(next.Add(1)) - 1
		if i >= l.Requests {
			return took, nil
		}
		start := time.Now()
		if err := conn.SetDeadline(start.Add(patience)); err != nil {
			return nil, err
		}
		if _, err := conn.Write(l.Request(i)); err != nil {
			return nil, fmt.Errorf("send request %d: %w", i, err)
		}
		status, err := readAnswer(in, l.Status)
		if err != nil {
			return nil, fmt.Errorf("answer to request %d: %w", i, err)
		}
		if status != l.Status {
			return nil, fmt.Errorf("answer to request %d: status %d, not %d", i, status, l.Status)
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

var (
	contentLength    = []byte("content-length:")
	transferEncoding = []byte("transfer-encoding:")
	connection       = []byte("connection:")
)

// readAnswer consumes one answer and returns its status. The body of an answer
// with a status other than the wanted one becomes part of the error.
func readAnswer(in *bufio.Reader, want int) (status int, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("no status line but %.40q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("no status line but %.40q", line)
	}
	length, chunked, err := readHead(in)
	switch {
	case err != nil:
		return 0, err
	case status != want:
		body := make([]byte, min(max(length, 0), 512))
		_, _ = io.ReadFull(in, body)
		return 0, fmt.Errorf("status %d, not %d: %s", status, want, body)
	case chunked:
		return status, skipChunks(in)
	case length < 0:
		return 0, errors.New("neither Content-Length nor chunks")
	}
	_, err = in.Discard(length)
	return status, err
}

// readHead reads header lines up to the empty one; length is -1 where none is
// told.
func readHead(in *bufio.Reader) (length int, chunked bool, err error) {
	length = -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return length, chunked, nil
		}
		switch value, name := after(line, contentLength); {
		case name:
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, fmt.Errorf("Content-Length %.20q", value)
			}
			continue
		}
		if value, is := after(line, transferEncoding); is {
			chunked = bytes.EqualFold(value, []byte("chunked"))
		}
		if value, is := after(line, connection); is && bytes.EqualFold(value, []byte("close")) {
			return 0, false, errors.New("the server closes the connection")
		}
	}
}

// after returns what follows a header's name.
func after(line, name []byte) (value []byte, is bool) {
	if len(line) < len(name) || !bytes.EqualFold(line[:len(name)], name) {
		return nil, false
	}
	return bytes.TrimSpace(line[len(name):]), true
}

func skipChunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimRight(line, "\r\n")), 16, 31)
		if err != nil {
			return fmt.Errorf("chunk size %.20q", line)
		}
		if _, err := in.Discard(int(size) + len("\r\n")); err != nil || size == 0 {
			return err
		}
	}
}
