package resourceserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// How long keys are used. They are renewed beside the requests; a kid that is not
// among them has them fetched at once, but not again and again.
const (
	usualAge   = 5 * time.Minute
	shortest   = time.Minute
	longest    = time.Hour
	lastResort = 2 * time.Hour // after this without a renewal they are used no more
	askAgain   = 10 * time.Second
	fetchTime  = 10 * time.Second
	maxBytes   = 1 << 20
)

// keys are the public keys of one issuer, found by its metadata (RFC 8414 §3) or at
// a URL that is given. Safe for concurrent use.
type keys struct {
	client *http.Client
	now    func() time.Time
	issuer string // "" with a url
	url    string

	mu      sync.Mutex
	set     jose.KeySet
	fetched time.Time // zero: never
	renew   time.Time
	asked   time.Time // when last, with success or without
	flight  *flight
}

type flight struct {
	done chan struct{}
	err  error
}

var errNoKeys = errors.New("the keys of the issuer cannot be had now")

// find returns the keys that may have made a signature; none if the issuer has none.
func (k *keys) find(ctx context.Context, kid string, alg jose.Algorithm) ([]jose.PublicKey, error) {
	k.mu.Lock()
	now := k.now()
	usable := !k.fetched.IsZero() && now.Sub(k.fetched) < lastResort
	var found []jose.PublicKey
	if usable {
		found = k.set.Candidates(kid, alg)
	}
	wanted := !usable || len(found) == 0
	due := wanted || !now.Before(k.renew)
	if k.flight == nil && due && (k.asked.IsZero() || now.Sub(k.asked) >= askAgain) {
		k.asked = now
		k.flight = &flight{done: make(chan struct{})}
		go k.fly(k.flight)
	}
	f := k.flight
	k.mu.Unlock()
	switch {
	case !wanted:
		return found, nil
	case f == nil && usable:
		return nil, nil // asked a moment ago: there is no such key
	case f == nil:
		return nil, errNoKeys
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.err != nil && !usable {
		return nil, fmt.Errorf("%w: %w", errNoKeys, f.err)
	}
	return k.set.Candidates(kid, alg), nil
}

// fly fetches the keys for everybody who waits. A failure leaves those at hand.
func (k *keys) fly(f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	set, age, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flight = nil
	if err == nil {
		k.set, k.fetched = set, k.now()
		k.renew = k.fetched.Add(age)
	}
	f.err = err
	close(f.done)
}

func (k *keys) fetch(ctx context.Context) (set jose.KeySet, age time.Duration, err error) {
	where := k.url
	if where == "" {
		if where, err = k.discover(ctx); err != nil {
			return set, 0, err
		}
	}
	raw, header, err := k.read(ctx, where)
	if err != nil {
		return set, 0, err
	}
	set, err = jose.ParseIssuerKeySet(raw)
	return set, ageOf(header), err
}

// discover finds jwks_uri in the issuer's metadata, whose issuer must be the one
// that was asked for (RFC 8414 §3.3): else another's keys would be taken for its.
func (k *keys) discover(ctx context.Context) (string, error) {
	var last error
	for _, where := range []string{oauth.WellKnownURL(k.issuer, oauth.SuffixAuthorizationServer), oauth.OpenIDConfigurationURL(k.issuer)} {
		raw, _, err := k.read(ctx, where)
		if err != nil {
			last = err
			continue
		}
		var metadata struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		if err := json.Unmarshal(raw, &metadata); err != nil || metadata.Issuer != k.issuer {
			return "", fmt.Errorf("the metadata at %s is not that of %s", where, k.issuer)
		}
		if _, err := checkURL("jwks_uri", metadata.JWKSURI); err != nil {
			return "", err
		}
		return metadata.JWKSURI, nil
	}
	return "", last
}

func (k *keys) read(ctx context.Context, where string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
	switch {
	case err != nil:
		return nil, nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, nil, fmt.Errorf("%s answered %s", where, resp.Status)
	case len(raw) > maxBytes:
		return nil, nil, fmt.Errorf("the answer of %s is too long", where)
	}
	return raw, resp.Header, nil
}

// ageOf is for how long the answer says that it may be kept, within bounds.
func ageOf(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if seconds, err := strconv.Atoi(value); err == nil && strings.EqualFold(name, "max-age") {
			return min(max(time.Duration(seconds)*time.Second, shortest), longest)
		}
	}
	return usualAge
}
