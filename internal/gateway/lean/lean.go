// Package lean is the gateway's own client for one API that speaks HTTP/1.1. It
// does what http.Transport does for a reverse proxy and no more, in the goroutine
// of the call: that saves the hand-offs between goroutines, which cost more than
// the call itself.
//
// What is usual is read here, strictly. An answer that is written in an unusual
// way is read by net/http, as it always was, so that no answer changes; its
// connection is not used again. What the two could understand differently is
// therefore never behind, or before, another answer.
//
// Upgrades, Expect, trailers of requests and HTTP/2 are left to the caller of
// this package: Compose says so.
package lean

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// Options are what a Client is built from; all must be there, but for TLS with
// http:// and AnswerTimeout.
type Options struct {
	URL  *url.URL // scheme, host and port
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TLS  *tls.Config
	// HandshakeTimeout is how long a TLS handshake may take, AnswerTimeout how
	// long the API may take to begin its answer; 0: as long as the caller waits.
	HandshakeTimeout, AnswerTimeout time.Duration
	// IdleTimeout is how long a connection may wait for a call, FreshTimeout how
	// long for one that cannot be sent again.
	IdleTimeout, FreshTimeout time.Duration
	// MaxIdle connections wait at most, MaxOpen are there at most.
	MaxIdle, MaxOpen int
}

// Client sends calls to one API. Safe for concurrent use.
type Client struct {
	Options
	address string
	tls     *tls.Config // nil: plain text

	mu      sync.Mutex
	idle    []*conn // the one that has waited longest comes first
	open    int     // connections, and those being made
	waiting []chan *conn
	reaper  *time.Timer
}

// New makes a Client, or nil where the system does not let it see whether a
// connection that waited is still good.
func New(o Options) *Client {
	if !canPeek {
		return nil
	}
	port := o.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[o.URL.Scheme]
	}
	c := &Client{Options: o, address: net.JoinHostPort(o.URL.Hostname(), port)}
	if o.URL.Scheme == "https" {
		c.tls = o.TLS.Clone()
		c.tls.ServerName = o.URL.Hostname()
		c.tls.NextProtos = []string{"http/1.1"}
	}
	return c
}

// ErrSwitched says that the API switched protocols unasked.
var ErrSwitched = errors.New("the API switched protocols unasked")

// Do sends the request that was composed and reads the head of its answer. The
// answer's header fields are put into h, without those of the hop
// (RFC 9110 §7.6.1), and h is what the answer has as its Header. For each answer
// before it, interim is called while h has its fields. If Do fails h is as it was,
// unless there were interim answers.
//
// The answer and what is in it are good until Compose is called again, its body
// until it is closed, which it must be.
func (c *Client) Do(ctx context.Context, call *Call, h http.Header, interim func(status int)) (*http.Response, error) {
	within := c.FreshTimeout
	if call.repeatable {
		within = c.IdleTimeout
	}
	for {
		cn, err := c.take(ctx, within)
		if err != nil {
			return nil, err
		}
		res, again, err := c.exchange(ctx, cn, call, h, interim)
		if err == nil || !again || ctx.Err() != nil {
			return res, err
		}
	}
}

// exchange makes one attempt. again says that the request may be sent once more:
// it went to a connection that had waited, which the API was closing, and can do
// no harm if it was carried out after all.
func (c *Client) exchange(ctx context.Context, cn *conn, call *Call, h http.Header, interim func(int)) (res *http.Response, again bool, err error) {
	cn.begin()
	b := &body{client: c, conn: cn, stop: context.AfterFunc(ctx, cn.abort)}
	written, err := cn.Write(call.head)
	b.cut = err != nil
	if err != nil && call.body == nil {
		// It may have answered and closed: see what it said.
		if written == 0 && cn.used {
			b.end(false)
			return nil, true, err
		}
	}
	if call.body != nil && err == nil {
		b.upload = newUpload(call, cn, c.AnswerTimeout)
		go b.upload.run()
	} else if c.AnswerTimeout > 0 {
		_ = cn.SetReadDeadline(time.Now().Add(c.AnswerTimeout))
	}
	res, err = b.readAnswer(call, h, interim)
	if err == nil {
		return res, false, nil
	}
	b.end(false)
	if cause := b.upload.callersError(); cause != nil {
		err = cause
	}
	again = cn.used && !cn.heard && call.repeatable && !errors.Is(err, os.ErrDeadlineExceeded)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the API hung up
	}
	return nil, again, err
}
