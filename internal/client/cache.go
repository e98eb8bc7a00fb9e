package client

import (
	"context"
	"sync"
)

// Cache keeps the clients in use in memory, so that a token request reads
// nothing from storage. It holds two generations of at most half its capacity;
// what is not asked for during a whole generation is forgotten. A client that is
// not there is not remembered: nobody fills memory with made-up names.
// Safe for concurrent use.
type Cache struct {
	load func(ctx context.Context, id string) (*Client, error)
	half int

	mu         sync.RWMutex
	young, old map[string]*Client
	forgotten  uint64 // counts Forget, so that a load that was under way is not kept
}

// NewCache makes a Cache of at most capacity clients, at least two, read
// through load.
func NewCache(load func(ctx context.Context, id string) (*Client, error), capacity int) *Cache {
	return &Cache{load: load, half: max(capacity/2, 1), young: make(map[string]*Client)}
}

// Client returns the client with that id, or load's error, which is ErrNotFound
// where there is none. The Client is shared and must not be changed.
func (c *Cache) Client(ctx context.Context, id string) (*Client, error) {
	c.mu.RLock()
	found, inYoung := c.young[id]
	if !inYoung {
		found = c.old[id]
	}
	forgotten := c.forgotten
	c.mu.RUnlock()
	if inYoung {
		return found, nil
	}
	if found == nil {
		var err error
		if found, err = c.load(ctx, id); err != nil {
			return nil, err
		}
	}
	c.keep(found, forgotten)
	return found, nil
}

// Forget makes the next question about that client read it again. Call it after
// every change, before the change is acknowledged.
func (c *Cache) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, id)
	delete(c.old, id)
	c.forgotten++
}

// keep takes in what was read while nothing was forgotten.
func (c *Cache) keep(found *Client, forgotten uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten != forgotten {
		return // it may be the client as it was before the change
	}
	if len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[string]*Client, c.half)
	}
	c.young[found.ID] = found
}

// Len is how many clients are held.
func (c *Cache) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := len(c.young)
	for id := range c.old {
		if _, twice := c.young[id]; !twice {
			n++
		}
	}
	return n
}
