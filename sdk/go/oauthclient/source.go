package oauthclient

import (
	"context"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

const (
	// renewAt is the share of a token's life after which it is renewed.
	renewAt = 0.8
	// lifeUnknown is how long a token is used whose server does not say how
	// long it lives (RFC 6749 §5.1 only recommends expires_in).
	lifeUnknown = time.Minute
	// renewalPause is how long a failed early renewal is not tried again, so
	// that an issuer that is down does not slow every call.
	renewalPause = 5 * time.Second
	// patience is how long a caller that still has a good token waits for the
	// next one.
	patience = 3 * time.Second
	// flightTime bounds a token request that many callers wait for.
	flightTime = 45 * time.Second
)

// source keeps one token and renews it. It is safe for concurrent use.
type source struct {
	config *Config

	mu      sync.Mutex
	current kept
	flight  *flight
	pause   time.Time // no early renewal before this
}

// kept is a token with the times that decide about it.
type kept struct {
	token   *oauth2.Token
	renew   time.Time // from here on a new one is asked for
	expires time.Time // from here on it is not used
}

// flight is a token request under way, shared by all who need its result.
type flight struct {
	done  chan struct{}
	token *oauth2.Token
	err   error
}

func newSource(c *Config) *source { return &source{config: c} }

// boundSource ties a source to the context that oauth2.TokenSource has no
// room for.
type boundSource struct {
	ctx    context.Context
	source *source
}

func (b boundSource) Token() (*oauth2.Token, error) { return b.source.token(b.ctx) }

// token returns a token that can be used now. ctx bounds the waiting; the
// request itself is shared, so that one caller's cancellation fails no other.
func (s *source) token(ctx context.Context) (*oauth2.Token, error) {
	s.mu.Lock()
	now := s.config.now()
	usable := s.current.token != nil && now.Before(s.current.expires)
	if usable && (now.Before(s.current.renew) || now.Before(s.pause) || s.flight != nil) {
		token := clone(s.current.token)
		s.mu.Unlock()
		return token, nil
	}
	f := s.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		s.flight = f
		go s.fly(context.WithoutCancel(ctx), f)
	}
	old := s.current.token
	s.mu.Unlock()

	var enough <-chan time.Time
	if usable {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-f.done:
	case <-enough:
		return clone(old), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.err != nil {
		return nil, f.err
	}
	return clone(f.token), nil
}

// fly makes the request and hands its result to everybody who waits.
func (s *source) fly(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, flightTime)
	defer cancel()
	asked := s.config.now()
	token, err := s.config.NewToken(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	now := s.config.now()
	switch {
	case err == nil:
		s.current = keep(token, asked)
	case s.current.token != nil && now.Before(s.current.expires):
		s.pause = now.Add(renewalPause)
		token, err = s.current.token, nil
	}
	f.token, f.err = token, err
	close(f.done)
}

// discard forgets a token that an API has refused, unless it was replaced
// meanwhile: many refusals of one token then lead to one request.
func (s *source) discard(refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.token != nil && s.current.token.AccessToken == refused {
		s.current = kept{}
	}
}

// keep works out until when a token asked for at the given time is used. Its
// life counts from the asking, so the way there and back is on the safe side.
func keep(token *oauth2.Token, asked time.Time) kept {
	life := lifeUnknown
	if token.ExpiresIn > 0 {
		life = time.Duration(token.ExpiresIn) * time.Second
	}
	return kept{
		token:   token,
		renew:   asked.Add(time.Duration(float64(life) * renewAt)),
		expires: asked.Add(life),
	}
}

func clone(t *oauth2.Token) *oauth2.Token {
	c := *t
	return &c
}
