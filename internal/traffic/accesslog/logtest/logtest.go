// Package logtest writes access logs of any length for tests and measurements,
// so that none has to be kept.
package logtest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"
)

// Year is a log in the combined format that ends with the header of the apikey
// (Tail): a year of an API with a thousand apikeys, each with a program of its
// own, and with strangers, one line in ten. It is an io.Reader.
type Year struct {
	lines, written int
	at             time.Time
	step           time.Duration
	rand           *rand.Rand
	left           []byte
	agents         []string
}

// NewYear makes a year of so many lines.
func NewYear(lines int) *Year {
	g := &Year{lines: lines, at: time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC), rand: rand.New(rand.NewPCG(1, 2))}
	g.step = 365 * 24 * time.Hour / time.Duration(max(lines, 1))
	for i := range 200 {
		g.agents = append(g.agents, fmt.Sprintf("partner-%d/1.%d (+https://example.com/contact; python-requests/2.32)", i, i%7))
	}
	return g
}

// From makes the log begin at a time of its year.
func (g *Year) From(at time.Time) *Year {
	g.at = at
	return g
}

// Tail is what stands behind the combined format.
const Tail = "header:X-API-Key"

var paths = []string{"/v1/orders", "/v1/orders/", "/v1/invoices", "/v1/invoices/", "/v1/customers/", "/v1/products?page="}

// Read implements io.Reader.
func (g *Year) Read(p []byte) (n int, err error) {
	for len(g.left) < len(p) && g.written < g.lines {
		g.line()
	}
	if len(g.left) == 0 {
		return 0, io.EOF
	}
	n = copy(p, g.left)
	g.left = g.left[:copy(g.left, g.left[n:])]
	return n, nil
}

func (g *Year) line() {
	g.written++
	g.at = g.at.Add(g.step)
	r := g.rand.Uint64()
	caller, path := int(r%1000), paths[r>>10%uint64(len(paths))]
	b := g.left
	b = append(b, "203.0."...)
	b = strconv.AppendInt(b, int64(caller/10), 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(1+r>>20%250), 10)
	b = append(b, " - - ["...)
	b = g.at.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "GET `...)
	b = append(b, path...)
	if path[len(path)-1] == '/' || path[len(path)-1] == '=' {
		b = strconv.AppendInt(b, int64(r>>32%100000), 10)
	}
	b = append(b, ` HTTP/1.1" 200 `...)
	b = strconv.AppendInt(b, int64(r>>40%20000), 10)
	b = append(b, ` "-" "`...)
	b = append(b, g.agents[caller%200]...)
	b = append(b, `" "`...)
	if r>>50%10 == 0 {
		b = append(b, '-')
	} else {
		b = append(b, "sk_live_4eC39HqLyjWDarjtT1zd"...)
		b = strconv.AppendInt(b, int64(1000+caller), 10)
	}
	g.left = append(b, '"', '\n')
}
