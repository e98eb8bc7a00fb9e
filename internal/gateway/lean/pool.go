package lean

import (
	"context"
	"slices"
	"time"
)

// tendEvery is how often connections that wait are looked after, so that those
// that the API has closed do not pile up.
const tendEvery = 5 * time.Second

// take returns a connection that waited for less than the given time and is still
// good, or a new one. Where there are too many it waits for one.
func (c *Client) take(ctx context.Context, within time.Duration) (*conn, error) {
	for {
		cn, turn := c.next(within)
		switch {
		case turn != nil:
			select {
			case cn = <-turn:
			case <-ctx.Done():
				c.leave(turn)
				return nil, ctx.Err()
			}
			if cn == nil {
				return c.add(ctx)
			}
		case cn == nil:
			return c.add(ctx)
		}
		if cn.isQuiet() {
			return cn, nil
		}
		c.discard(cn)
	}
}

// next returns a connection that waits, or a turn to wait for; with neither, the
// caller may make a connection, which is counted already.
func (c *Client) next(within time.Duration) (*conn, chan *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.idle) - 1; last >= 0 {
		cn := c.idle[last]
		full := c.open >= c.MaxOpen
		if fresh := time.Since(cn.since) < within; fresh || full {
			c.idle[last] = nil
			c.idle = c.idle[:last]
			if fresh {
				return cn, nil
			}
			cn.abort() // makes room for the one that is needed
			return nil, nil
		}
	} else if c.open >= c.MaxOpen {
		turn := make(chan *conn, 1)
		c.waiting = append(c.waiting, turn)
		return nil, turn
	}
	c.open++
	return nil, nil
}

// add makes a connection that next has counted.
func (c *Client) add(ctx context.Context) (*conn, error) {
	cn, err := c.dial(ctx)
	if err != nil {
		c.uncount()
	}
	return cn, err
}

// give takes a connection back after a call.
func (c *Client) give(cn *conn) {
	cn.used, cn.since = true, time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) > 0 {
		c.call(cn)
		return
	}
	if len(c.idle) >= c.MaxIdle {
		cn.abort()
		c.open--
		return
	}
	c.idle = append(c.idle, cn)
	if c.reaper == nil {
		c.reaper = time.AfterFunc(tendEvery, c.tend)
	}
}

// discard closes a connection.
func (c *Client) discard(cn *conn) {
	cn.abort()
	c.uncount()
}

// uncount lets another connection be made.
func (c *Client) uncount() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) > 0 {
		c.call(nil)
		return
	}
	c.open--
}

// call gives the longest waiting caller a connection, or leave to make one.
func (c *Client) call(cn *conn) {
	c.waiting[0] <- cn // has room for it
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
}

// leave gives up a turn, and hands on what it may have brought already.
func (c *Client) leave(turn chan *conn) {
	c.mu.Lock()
	i := slices.Index(c.waiting, turn)
	if i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
	c.mu.Unlock()
	if i >= 0 {
		return
	}
	if cn := <-turn; cn != nil {
		c.give(cn)
		return
	}
	c.uncount()
}

// tend closes the connections that have waited too long, or that have ended.
func (c *Client) tend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.idle = slices.DeleteFunc(c.idle, func(cn *conn) bool {
		waited := now.Sub(cn.since)
		if waited < tendEvery || waited < c.IdleTimeout && cn.isQuiet() {
			return false
		}
		cn.abort()
		c.open--
		return true
	})
	if len(c.idle) == 0 {
		c.reaper = nil
		return
	}
	c.reaper.Reset(tendEvery)
}

// CloseIdleConnections closes the connections that wait for a call.
func (c *Client) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cn := range c.idle {
		cn.abort()
		c.open--
	}
	clear(c.idle)
	c.idle = c.idle[:0]
}
