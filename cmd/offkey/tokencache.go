package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/sdk/go/oauthclient"
)

const (
	// renewShare is the share of a token's life after which it is renewed.
	renewShare = 0.8
	// unknownLife is how long a token is kept whose issuer states no life.
	unknownLife = time.Minute
	// lockShards is how many token requests of different kinds run at once.
	// The lock files are never removed: one that is removed while it is held
	// protects nobody.
	lockShards = 16
	// lockPatience is how long a process waits for another's token request
	// before it makes its own.
	lockPatience = 45 * time.Second
	// lockPoll is how often it looks.
	lockPoll = 5 * time.Millisecond
	// cacheLimit bounds the number of tokens kept.
	cacheLimit = 256
)

// cachedToken is a token on disk, in a file for its owner alone.
type cachedToken struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	Scope       string    `json:"scope"`
	ObtainedAt  time.Time `json:"obtained_at"`
	// ExpiresAt is zero if the issuer does not say.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// tokenCache shares tokens between processes: one asks, the others wait and
// read.
type tokenCache struct {
	dir  string
	now  func() time.Time
	warn func(format string, args ...any)
}

func newTokenCache(t *terminal, dir string) tokenCache {
	return tokenCache{dir: filepath.Join(dir, ".tokens"), now: t.Now, warn: t.warn}
}

// token returns a token for the client: the kept one while less than 80 % of
// its life has passed, else a new one, which is then kept. With anew, a new one
// in any case. kept says which of the two it was.
func (c tokenCache) token(ctx context.Context, config *oauthclient.Config, anew bool) (token cachedToken, kept bool, err error) {
	name, err := cacheName(config)
	if err != nil {
		return cachedToken{}, false, err
	}
	old := c.read(name)
	if !anew && old.fresh(c.now()) {
		return old, true, nil
	}
	if unlock := c.lock(ctx, name); unlock != nil {
		defer unlock()
		if old = c.read(name); !anew && old.fresh(c.now()) {
			return old, true, nil
		}
	}
	asked := c.now()
	issued, err := config.NewToken(ctx)
	if err != nil {
		if !anew && old.usable(c.now()) && !errors.Is(err, context.Canceled) {
			c.warn("the token could not be renewed, the old one is good until %s: %v", old.ExpiresAt.Format(time.RFC3339), err)
			return old, true, nil
		}
		return cachedToken{}, false, err
	}
	token = tokenOf(issued, asked)
	c.write(name, token)
	return token, false, nil
}

// end is when the token is of no more use.
func (t cachedToken) end() time.Time {
	if t.ExpiresAt.IsZero() {
		return t.ObtainedAt.Add(unknownLife)
	}
	return t.ExpiresAt
}

// usable reports whether the token is good now. One from the future was kept
// under another clock.
func (t cachedToken) usable(now time.Time) bool {
	return t.AccessToken != "" && !now.Before(t.ObtainedAt) && now.Before(t.end())
}

// fresh reports whether it need not be renewed yet.
func (t cachedToken) fresh(now time.Time) bool {
	life := t.end().Sub(t.ObtainedAt)
	return t.usable(now) && now.Before(t.ObtainedAt.Add(time.Duration(float64(life)*renewShare)))
}

// cacheName is a digest of everything that makes two tokens different.
func cacheName(config *oauthclient.Config) (string, error) {
	proof, err := proofName(config)
	if err != nil {
		return "", err
	}
	scopes := slices.Clone(config.Scopes)
	slices.Sort(scopes)
	key, err := config.DPoPThumbprint()
	if err != nil {
		return "", err
	}
	parts, err := json.Marshal([]any{config.Issuer, config.TokenURL, config.ClientID, scopes, config.Resource, config.AuthMethod, config.Audience, proof, key})
	if err != nil {
		return "", fmt.Errorf("name the cached token: %w", err)
	}
	sum := sha256.Sum256(parts)
	return hex.EncodeToString(sum[:16]), nil
}

// proofName tells one key or secret from another. It reads the key file, so
// that a key that may not be used opens no cached token either.
func proofName(config *oauthclient.Config) (string, error) {
	if config.Secret != "" {
		sum := sha256.Sum256([]byte(config.Secret))
		return hex.EncodeToString(sum[:]), nil
	}
	if config.KeyFile == "" && config.TLS != nil && len(config.TLS.Certificates) > 0 {
		sum := sha256.Sum256(config.TLS.Certificates[0].Certificate[0])
		return hex.EncodeToString(sum[:]), nil
	}
	return config.PublicKeyID()
}

// read returns the kept token, or none if there is no whole one.
func (c tokenCache) read(name string) (t cachedToken) {
	data, err := os.ReadFile(c.path(name))
	if err != nil || json.Unmarshal(data, &t) != nil {
		return cachedToken{}
	}
	return t
}

// write keeps a token. That it cannot be kept fails no command: the next one
// asks again.
func (c tokenCache) write(name string, t cachedToken) {
	err := makeFolder(c.dir)
	if err == nil {
		err = writeJSONFile(c.path(name), t)
	}
	if err != nil {
		c.warn("the token is not kept: %v", err)
		return
	}
	c.prune()
}

func (c tokenCache) path(name string) string { return filepath.Join(c.dir, name+".json") }

// prune removes tokens that have expired, and the oldest over the limit.
func (c tokenCache) prune() {
	files, err := filepath.Glob(filepath.Join(c.dir, "*.json"))
	if err != nil {
		return
	}
	var alive []string
	obtained := make(map[string]time.Time)
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if t := c.read(name); t.usable(c.now()) {
			obtained[path] = t.ObtainedAt
			alive = append(alive, path)
			continue
		}
		_ = os.Remove(path)
	}
	slices.SortFunc(alive, func(a, b string) int { return cmp.Or(obtained[a].Compare(obtained[b]), cmp.Compare(a, b)) })
	for len(alive) > cacheLimit {
		_ = os.Remove(alive[0])
		alive = alive[1:]
	}
}

// lock waits until no other process asks for a token of this name. It returns
// nil if there can be no lock, on a read-only disk for instance, or if the wait
// gets too long: better one request more than none.
func (c tokenCache) lock(ctx context.Context, name string) (unlock func()) {
	if makeFolder(c.dir) != nil {
		return nil
	}
	sum := sha256.Sum256([]byte(name))
	file, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("lock-%x", sum[0]%lockShards)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		locked, err := tryLock(file)
		if locked {
			return func() { _ = file.Close() } // the system lets go of the lock
		}
		select {
		case <-poll.C:
			if err == nil {
				continue
			}
		case <-ctx.Done():
		}
		_ = file.Close()
		return nil
	}
}
