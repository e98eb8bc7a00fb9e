package directory

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
)

// Notice is what a person is told about their account, so that they learn of what
// somebody else does with it.
type Notice struct {
	Person  *Person // as they are now
	Before  string  // the address that they had before, where it is another now
	At      time.Time
	By      string // who did it, as the audit has it; "" where that is not known
	Events  []Event
	Program string // that was used, as it is called; "" unknown
	Network string // that it was used from; "" unknown
	// Language is that of the person's browser; "" where there was none.
	Language string
}

// Event is one thing that a Notice tells of.
type Event struct {
	Kind   EventKind
	Detail string // the name of a passkey, how many codes are left
}

// EventKind is what happened.
type EventKind string

// What people are told of: how they prove themselves has changed, or somebody
// did so from where nobody has before.
const (
	PasswordSet      EventKind = "password_set"
	TOTPSet          EventKind = "totp_set"
	TOTPRemoved      EventKind = "totp_removed"
	PasskeyAdded     EventKind = "passkey_added"
	PasskeyRemoved   EventKind = "passkey_removed"
	RecoveryMade     EventKind = "recovery_made"
	RecoveryUsed     EventKind = "recovery_used"
	RecoveryRemoved  EventKind = "recovery_removed"
	AddressChanged   EventKind = "address_changed"
	NewBrowser       EventKind = "new_browser"
	SecondNotReached EventKind = "second_not_reached" // the password was right, the second factor again and again not
)

// EventKinds are all of them.
var EventKinds = []EventKind{
	PasswordSet, TOTPSet, TOTPRemoved, PasskeyAdded, PasskeyRemoved, RecoveryMade, RecoveryUsed, RecoveryRemoved, AddressChanged, NewBrowser, SecondNotReached,
}

// Teller tells people. When it returns the message is kept; what fails is its own
// to log.
type Teller interface {
	Tell(ctx context.Context, n Notice)
}

// Update changes an account as Store.UpdateAccount does, and tells its person
// what is different then about how they prove themselves.
func (d *Directory) Update(ctx context.Context, id string, update func(*Account) error, e audit.Event) (*Account, error) {
	var before *Account
	a, err := d.Store.UpdateAccount(ctx, id, func(a *Account) error {
		before = a.clone()
		return update(a)
	}, e)
	if err == nil {
		d.changed(ctx, before, a, e.Actor)
	}
	return a, err
}

// changed tells the person of an account what is different about it. Whoever has
// just accepted an invitation has chosen it.
func (d *Directory) changed(ctx context.Context, before, now *Account, by string) {
	if before.Status == Invited {
		return
	}
	if events := differences(before, now); len(events) > 0 {
		n := Notice{Person: now.Person, At: d.Now(), By: by, Events: events}
		if before.Email != now.Email {
			n.Before = before.Email
		}
		d.tell(ctx, n)
	}
}

// SignedIn tells a person that they signed in with a browser that had not done so
// before, or that somebody might have: see the kinds of Event.
func (d *Directory) SignedIn(ctx context.Context, kind EventKind, n Notice) {
	n.At, n.Events = d.Now(), []Event{{Kind: kind}}
	d.tell(ctx, n)
}

func (d *Directory) tell(ctx context.Context, n Notice) {
	if d.Teller != nil && (n.Person.Email != "" || n.Before != "") {
		d.Teller.Tell(ctx, n)
	}
}

// clone is the account as it is, whatever is done to it.
func (a *Account) clone() *Account {
	c := *a
	p := *a.Person
	c.Person, c.Recovery, c.Passkeys = &p, slices.Clone(a.Recovery), slices.Clone(a.Passkeys)
	return &c
}

// differences are those between what an account was proved with and is. What a
// use alone changes is none: the step of a code, the count of a passkey.
func differences(before, now *Account) (events []Event) {
	add := func(differs bool, kind EventKind, detail string) {
		if differs {
			events = append(events, Event{kind, detail})
		}
	}
	add(before.Password.Reveal() != now.Password.Reveal(), PasswordSet, "")
	switch {
	case now.TOTP.IsZero():
		add(!before.TOTP.IsZero(), TOTPRemoved, "")
	default:
		add(!bytes.Equal(before.TOTP.Sealed, now.TOTP.Sealed), TOTPSet, "")
	}
	for _, k := range now.Passkeys {
		add(before.passkey(k.ID) < 0, PasskeyAdded, k.Name)
	}
	for _, k := range before.Passkeys {
		add(now.passkey(k.ID) < 0, PasskeyRemoved, k.Name)
	}
	made := slices.ContainsFunc(now.Recovery, func(h secret.Hash) bool { return !slices.ContainsFunc(before.Recovery, h.Equal) })
	switch gone := len(before.Recovery) - len(now.Recovery); {
	case made:
		add(true, RecoveryMade, "")
	case gone == 1 && len(events) == 0:
		add(true, RecoveryUsed, strconv.Itoa(len(now.Recovery)))
	default:
		add(gone > 0, RecoveryRemoved, "")
	}
	add(before.Email != now.Email, AddressChanged, now.Email)
	return events
}
