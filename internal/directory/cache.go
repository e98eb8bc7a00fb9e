package directory

import (
	"context"
	"sync"
)

// cache keeps the people in use in memory, so that a refresh or a call of
// userinfo reads nothing from storage. Only people who are there are kept: ids
// come from our own tokens and sessions. What is not asked for during a whole
// generation is dropped. Safe for concurrent use.
type cache struct {
	load func(ctx context.Context, id string) (*Standing, error)
	half int

	mu         sync.RWMutex
	young, old map[string]*Standing
	forgotten  uint64 // counts what was forgotten, so that a load that was under way is not kept
}

func newCache(load func(ctx context.Context, id string) (*Standing, error), capacity int) *cache {
	return &cache{load: load, half: max(capacity/2, 1), young: map[string]*Standing{}}
}

func (c *cache) standing(ctx context.Context, id string) (*Standing, error) {
	c.mu.RLock()
	found, young := c.young[id]
	if !young {
		found = c.old[id]
	}
	forgotten := c.forgotten
	c.mu.RUnlock()
	if young {
		return found, nil
	}
	if found == nil {
		var err error
		if found, err = c.load(ctx, id); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten == forgotten { // else it may be who they were before the change
		if len(c.young) >= c.half {
			c.old, c.young = c.young, make(map[string]*Standing, c.half)
		}
		c.young[found.ID] = found
	}
	return found, nil
}

func (c *cache) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, id)
	delete(c.old, id)
	c.forgotten++
}

func (c *cache) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = map[string]*Standing{}, nil
	c.forgotten++
}

func (c *cache) len() int {
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
