package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"time"
)

// How long and how often delivery is tried.
const (
	firstServerWait, longestServerWait   = 15 * time.Second, 15 * time.Minute
	firstMessageWait, longestMessageWait = time.Minute, time.Hour
	// A message is given up that is older than this (RFC 5321 §4.5.4.1: four to
	// five days) and has failed for graceAfterStart at least in this process, so
	// that a new mail server is not judged by its first hour.
	giveUpAfter     = 5 * 24 * time.Hour
	graceAfterStart = time.Hour
	// mostPerSession bounds what is sent over one connection.
	mostPerSession = 100
)

// attempt is delivery that has failed, of one message or to the server.
type attempt struct {
	first, next time.Time // zero: it has not failed
	wait        time.Duration
	err         error
}

// failed counts a failure and puts off the next try, twice as long each time.
func (a *attempt) failed(now time.Time, err error, first, longest time.Duration) {
	if a.first.IsZero() {
		a.first = now
	}
	a.wait = min(max(2*a.wait, first), longest)
	a.next, a.err = now.Add(a.wait), err
}

// hopeless reports whether the message of that name is not tried any more.
func (a *attempt) hopeless(name string, now time.Time) bool {
	return !a.first.IsZero() && now.Sub(a.first) >= graceAfterStart && now.Sub(writtenAt(name)) >= giveUpAfter
}

// attempts are those under the settings in use.
type attempts struct {
	under    *Settings
	server   attempt
	messages map[string]*attempt
}

// Deliver sends what waits in the outbox to the mail server, if there is one,
// and returns when nothing is left that could be sent now. The error is about
// the server: while it is not tried again, the last one.
func (o *Outbox) Deliver(ctx context.Context) error {
	o.delivering.Lock()
	defer o.delivering.Unlock()
	s := o.settings.Load()
	if s != o.attempts.under {
		o.attempts = attempts{under: s, messages: map[string]*attempt{}}
	}
	if s.SMTP == nil {
		return nil
	}
	if o.Now().Before(o.attempts.server.next) {
		return o.attempts.server.err
	}
	for {
		due, err := o.due()
		if err != nil || len(due) == 0 {
			return err
		}
		switch err := o.deliver(ctx, s, due); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return o.serverFailed(err)
		}
	}
}

// due are the messages to be tried now, at most those of a session.
func (o *Outbox) due() (names []string, err error) {
	all, err := o.spool.waiting()
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(all))
	for _, name := range all {
		there[name] = true
		if a := o.attempts.messages[name]; a == nil || !o.Now().Before(a.next) {
			names = append(names, name)
		}
	}
	for name := range o.attempts.messages { // delivered, or taken out by hand
		if !there[name] {
			delete(o.attempts.messages, name)
		}
	}
	return names[:min(len(names), mostPerSession)], nil
}

// deliver sends messages over one connection. An error is the connection's.
func (o *Outbox) deliver(ctx context.Context, s *Settings, names []string) error {
	x, err := s.SMTP.connect(ctx, domainOf(s.From), o.Timeout)
	if err != nil {
		return err
	}
	defer x.end()
	for _, name := range names {
		err := o.deliverOne(x, s, name)
		var refused *refusal
		if err == nil || errors.As(err, &refused) {
			o.attempts.server = attempt{} // it answers
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case refused == nil:
			o.later(name, err) // the others go first, should it be this one's fault
			return err
		case refused.permanent:
			o.putAside(s, name, refused)
		default:
			o.later(name, refused)
		}
	}
	return nil
}

// deliverOne sends the message of that name, or readdresses it where it was
// written while nobody had an address.
func (o *Outbox) deliverOne(x *session, s *Settings, name string) error {
	raw, err := o.spool.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // taken out by hand
	}
	if err != nil {
		return &refusal{permanent: true, err: err}
	}
	to, err := recipientOf(raw)
	if err != nil {
		return &refusal{permanent: true, err: err}
	}
	if to == "" {
		if len(s.Admins) == 0 {
			return &refusal{err: errors.New("nobody has an address: the apikey has no contact and email.to_admins is empty")}
		}
		if err := o.readdress(raw, s, ""); err != nil {
			return &refusal{err: err}
		}
		return o.taken(name)
	}
	if err := x.send(s.From.Address, to, withField(raw, "From", s.From.String())); err != nil {
		return err
	}
	o.count(sent)
	o.Log.Info("a message was handed to the mail server", "file", name)
	return o.taken(name)
}

// taken takes out a message that is done with. Where that fails it is sent
// again, later and with the same Message-ID.
func (o *Outbox) taken(name string) error {
	if err := o.spool.remove(name); err != nil {
		return &refusal{err: err}
	}
	return nil
}

// recipientOf is the address that a message of the outbox goes to, "" for
// nobody's.
func recipientOf(raw []byte) (string, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return "", fmt.Errorf("is no message: %w", err)
	}
	to := m.Header.Get("To")
	if to == nobody {
		return "", nil
	}
	address, err := ParseAddress(to)
	if err != nil {
		return "", fmt.Errorf("its To %w", err)
	}
	return address.Address, nil
}

// readdress writes a message anew for each admin, with a note before its text.
func (o *Outbox) readdress(raw []byte, s *Settings, note string) error {
	for _, admin := range s.Admins {
		if err := o.write(withNote(withField(raw, "To", admin.String()), note)); err != nil {
			return err
		}
	}
	return nil
}

// later tries a message again, or gives it up.
func (o *Outbox) later(name string, err error) {
	a := o.attempts.messages[name]
	if a == nil {
		a = &attempt{}
		o.attempts.messages[name] = a
	}
	now := o.Now()
	a.failed(now, err, firstMessageWait, longestMessageWait)
	if a.hopeless(name, now) {
		o.putAside(o.attempts.under, name, err)
		return
	}
	o.count(deferred)
	o.Log.Warn("a message was not taken and is tried again", "file", name, "at", a.next.UTC(), "error", err)
}

// serverFailed puts off the next session and gives up what waits for too long.
func (o *Outbox) serverFailed(err error) error {
	server, now := &o.attempts.server, o.Now()
	server.failed(now, err, firstServerWait, longestServerWait)
	names, _ := o.spool.waiting() // what cannot be read now is given up another time
	for _, name := range names {
		if server.hopeless(name, now) {
			o.putAside(o.attempts.under, name, err)
		}
	}
	return err
}

// putAside gives up on a message. Where its recipient was refused for good and
// is not an admin, the admins are told instead: somebody must be.
func (o *Outbox) putAside(s *Settings, name string, why error) {
	if err := o.tellAdmins(s, name, why); err != nil {
		o.Log.Error("a message that its recipient does not get could not be readdressed", "file", name, "error", err)
	}
	if err := o.spool.putAside(name); err != nil {
		a := new(attempt)
		a.failed(o.Now(), err, longestMessageWait, longestMessageWait)
		o.attempts.messages[name] = a
		o.Log.Error("a message could not be delivered, nor put aside, and is tried again", "file", name, "at", a.next.UTC(), "delivery", why, "error", err)
		return
	}
	delete(o.attempts.messages, name)
	o.count(failed)
	o.Log.Error("a message could not be delivered and was put aside in outbox/failed", "file", name, "error", why)
	o.trim()
}

func (o *Outbox) tellAdmins(s *Settings, name string, why error) error {
	var refused *refusal
	if !errors.As(why, &refused) || !refused.permanent {
		return nil
	}
	raw, err := o.spool.read(name)
	if err != nil {
		return nil // and so is told to nobody, as the log says
	}
	to, err := recipientOf(raw)
	if err != nil || to == "" {
		return nil
	}
	for _, admin := range s.Admins {
		if admin.Address == to {
			return nil
		}
	}
	return o.readdress(raw, s, fmt.Sprintf("This message was for %s, whom the mail server refuses.\n\n", to))
}
