package authserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// Notices keeps which clients are to be told that a session has ended.
type Notices interface {
	DueNotices(ctx context.Context, now time.Time, limit int) ([]session.Notice, error)
	// SettleNotice forgets a notice, or puts it off to again.
	SettleNotice(ctx context.Context, id string, again time.Time) error
}

// Poster sends a form to an address that a client has named.
type Poster interface {
	// Post returns the status of the answer. An error means that there was none.
	Post(ctx context.Context, url string, form url.Values) (status int, err error)
}

// How many clients are told at one time, and how many of a batch.
const (
	tellBatch    = 64
	tellTogether = 8
)

// TellLogouts tells clients that sessions have ended (OIDC Back-Channel Logout
// §2.5), and goes on until nothing is due. A client that does not hear is told
// again later, a bounded number of times. Call it every second or so.
func (s *Server) TellLogouts(ctx context.Context, from Notices, by Poster) error {
	due, err := from.DueNotices(ctx, s.options.Now(), tellBatch)
	if err != nil {
		return fmt.Errorf("read who is to be told of logouts: %w", err)
	}
	errs := make([]error, len(due))
	slots := make(chan struct{}, tellTogether)
	var telling sync.WaitGroup
	for i, n := range due {
		slots <- struct{}{}
		telling.Go(func() {
			defer func() { <-slots }()
			errs[i] = s.tell(ctx, n, from, by)
		})
	}
	telling.Wait()
	return errors.Join(errs...)
}

// tell makes one attempt. Its error is ours; that the client did not hear is
// logged when nothing more is tried.
func (s *Server) tell(ctx context.Context, n session.Notice, from Notices, by Poster) error {
	heard, err := s.post(ctx, n, by)
	switch {
	case ctx.Err() != nil:
		return nil // the process stops: nothing is said of the client
	case heard:
		return from.SettleNotice(ctx, n.ID, time.Time{})
	}
	again, more := n.Again(s.options.Now())
	if !more {
		s.options.Log.Warn("a client was not told that a session has ended, and is not tried again", "client", n.ClientID, "session", n.SessionID, "attempts", n.Attempts+1, "error", err)
	}
	return from.SettleNotice(ctx, n.ID, again)
}

// post sends the logout token. A client that is gone, disabled or wishes nothing
// any more counts as told.
func (s *Server) post(ctx context.Context, n session.Notice, by Poster) (heard bool, err error) {
	c, err := s.options.Clients.Client(ctx, n.ClientID)
	switch {
	case errors.Is(err, client.ErrNotFound), err == nil && (c.Status == client.Disabled || c.BackchannelLogoutURI == ""):
		return true, nil
	case err != nil:
		return false, err
	}
	jwt, err := s.options.TokenIssuer.IssueLogoutToken(c, token.Logout{
		ID: n.ID, Subject: s.subjects.Of(c, n.PersonID), Session: s.subjects.Session(c, n.SessionID),
	})
	if err != nil {
		return false, err
	}
	status, err := by.Post(ctx, c.BackchannelLogoutURI, url.Values{"logout_token": {jwt}})
	if err == nil && status != 200 && status != 204 { // OIDC Back-Channel Logout §2.8
		err = fmt.Errorf("status %d", status)
	}
	return err == nil, err
}
