package authserver

import (
	"context"
	"maps"
	"sync"
	"time"
)

// usage remembers when credentials were last used, until it is flushed: so that
// a token request writes nothing for it. A crash loses at most what was not
// flushed yet.
type usage struct {
	mu   sync.Mutex
	used map[string]map[string]time.Time // client id -> credential id
}

// maxUsage bounds the clients remembered between two flushes.
const maxUsage = 1 << 16

func (u *usage) note(clientID, credentialID string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	of := u.used[clientID]
	if of == nil {
		if len(u.used) >= maxUsage {
			return
		}
		if u.used == nil {
			u.used = make(map[string]map[string]time.Time)
		}
		of = make(map[string]time.Time)
		u.used[clientID] = of
	}
	of[credentialID] = at
}

// Toucher keeps when clients and their credentials were last used.
type Toucher interface {
	TouchClients(ctx context.Context, used map[string]map[string]time.Time) error
}

// FlushUsage hands on which credentials were used since the last call. Call it
// every few seconds and at the end. What a failed call could not hand on is
// handed on by the next one.
func (s *Server) FlushUsage(ctx context.Context, to Toucher) error {
	s.usage.mu.Lock()
	used := s.usage.used
	s.usage.used = nil
	s.usage.mu.Unlock()
	if len(used) == 0 {
		return nil
	}
	err := to.TouchClients(ctx, used)
	if err != nil {
		s.usage.restore(used)
	}
	return err
}

// restore takes back what could not be handed on; what was noted meanwhile is
// newer.
func (u *usage) restore(used map[string]map[string]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for clientID, of := range u.used {
		if used[clientID] == nil {
			used[clientID] = of
			continue
		}
		maps.Copy(used[clientID], of)
	}
	u.used = used
}
