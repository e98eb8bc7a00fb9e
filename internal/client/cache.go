package client

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// Cache keeps the clients in use in memory, so that a token request reads
// nothing from storage. That a client is not there is remembered too, so that
// an id that somebody made up costs no more than a real one; but apart, so that
// made-up ids push nobody out. Safe for concurrent use.
type Cache struct {
	load func(ctx context.Context, id string) (*Client, error)

	mu        sync.RWMutex
	clients   generations
	missing   generations
	forgotten uint64 // counts Forget, so that a load that was under way is not kept
}

// maxMissingID is the longest id that is remembered as missing, in bytes.
const maxMissingID = 128

// NewCache makes a Cache of at most capacity clients, and as many ids without
// one, read through load.
func NewCache(load func(ctx context.Context, id string) (*Client, error), capacity int) *Cache {
	return &Cache{load: load, clients: newGenerations(capacity), missing: newGenerations(capacity)}
}

// Client returns the client with that id, or load's error, which is ErrNotFound
// where there is none. The Client is shared and must not be changed.
func (c *Cache) Client(ctx context.Context, id string) (*Client, error) {
	c.mu.RLock()
	found, young := c.clients.find(id)
	missing, youngMissing := c.missing.find(id)
	forgotten := c.forgotten
	c.mu.RUnlock()
	switch {
	case young:
		return found, nil
	case youngMissing:
		return nil, ErrNotFound
	case found == nil && missing == nil:
		var err error
		if found, err = c.load(ctx, id); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	c.keep(id, found, forgotten)
	if found == nil {
		return nil, ErrNotFound
	}
	return found, nil
}

// Forget makes the next question about that client read it again. Call it after
// every change, before the change is acknowledged.
func (c *Cache) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients.remove(id)
	c.missing.remove(id)
	c.forgotten++
}

// ForgetAll is Forget of every client.
func (c *Cache) ForgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	half := c.clients.half
	c.clients, c.missing = newGenerations(2*half), newGenerations(2*half)
	c.forgotten++
}

// noClient stands for an id without client.
var noClient = new(Client)

// keep takes in what was read while nothing was forgotten: otherwise it may be
// the client as it was before the change.
func (c *Cache) keep(id string, found *Client, forgotten uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.forgotten != forgotten:
	case found != nil:
		c.clients.put(found.ID, found)
	case len(id) <= maxMissingID:
		c.missing.put(strings.Clone(id), noClient) // not with the request it is a part of
	}
}

// Len is how many clients, and ids without one, are held.
func (c *Cache) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.clients.len() + c.missing.len()
}

// generations is a map that holds two generations of at most half its capacity.
// What is not asked for during one whole generation is dropped.
type generations struct {
	half       int
	young, old map[string]*Client
}

func newGenerations(capacity int) generations {
	return generations{half: max(capacity/2, 1), young: make(map[string]*Client)}
}

// find also reports whether id is in the young generation; what is only in the
// old one must be put again to be kept.
func (g *generations) find(id string) (found *Client, young bool) {
	if found, young = g.young[id]; young {
		return found, true
	}
	return g.old[id], false
}

func (g *generations) put(id string, c *Client) {
	if len(g.young) >= g.half {
		g.old, g.young = g.young, make(map[string]*Client, g.half)
	}
	g.young[id] = c
}

func (g *generations) remove(id string) {
	delete(g.young, id)
	delete(g.old, id)
}

func (g *generations) len() int {
	n := len(g.young)
	for id := range g.old {
		if _, twice := g.young[id]; !twice {
			n++
		}
	}
	return n
}
