// Package notify tells the owner of an apikey by mail what was made with it, and
// people what happens to their account. A message is a file in a folder, the outbox, before the registration that it is
// about is answered; Deliver takes it from there to a mail server, and again
// until that has taken it. So mail that is down slows nothing and loses nothing,
// and where no mail server is configured the files are there to be read.
//
//	apikey, client -> message -> outbox/*.eml -> SMTP, or outbox/failed
//
// The apikey itself never comes here, and a message holds no secret but the
// one-time links that people are sent. What is told and to whom is decided here;
// when, by packages migration and directory, and by operators.
package notify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/mail"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/prometheus/client_golang/prometheus"
)

// Settings are what a reload may change.
type Settings struct {
	// From is the sender; its domain also names us to mail servers.
	From mail.Address
	// Admins are told where an apikey has no contact that takes mail.
	Admins []mail.Address
	SMTP   *SMTP  // nil: messages stay in the outbox
	Issuer string // URL, for the text
	API    string // URL, for the text
	// Upgrade is the page for callers, for the text; "": there is none.
	Upgrade string
	Webhook *Webhook // nil: nobody is told by one
}

// Options are what an Outbox works with.
type Options struct {
	Folder string // made if it is missing
	Now    func() time.Time
	Log    *slog.Logger
	// Metrics is where offkey_mail_total is registered; nil: nowhere.
	Metrics prometheus.Registerer
	// Timeout bounds each step that a mail server is waited for; 0 is a minute.
	Timeout time.Duration
}

// Outbox holds the messages that are not delivered yet. Safe for concurrent use.
type Outbox struct {
	Options
	settings atomic.Pointer[Settings]
	spool    *spool
	told     told // of clients, by apikey
	changes  told // of changes of their account, by person
	signIns  told // of sign-ins, by person
	mails    *prometheus.CounterVec
	hooks    *hooks

	delivering sync.Mutex
	attempts   attempts
}

// Open opens the outbox in its folder. Messages of an earlier process are in it.
func Open(o Options, s Settings) (*Outbox, error) {
	if o.Folder == "" || o.Now == nil || o.Log == nil {
		return nil, errors.New("notify: Folder, Now and Log are needed")
	}
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	kept, err := openSpool(o.Folder, mostWaiting)
	if err != nil {
		return nil, err
	}
	x := &Outbox{Options: o, spool: kept, mails: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "offkey_mail_total",
		Help: "Messages to owners of apikeys and to people: spooled (in the outbox), sent, deferred (tried in vain, will be again), failed (put aside in outbox/failed), dropped (the outbox was full), lost (it could not be written), withheld (more than the share of a day of an apikey or a person).",
	}, []string{"result"})}
	for _, result := range []string{spooled, sent, deferred, failed, dropped, lost, withheld} {
		x.mails.WithLabelValues(result)
	}
	if x.hooks, err = openHooks(o.Folder); err != nil {
		return nil, err
	}
	if o.Metrics != nil {
		if err := o.Metrics.Register(x.mails); err != nil {
			return nil, err
		}
	}
	x.Use(s)
	return x, nil
}

// What becomes of messages, as offkey_mail_total counts it.
const (
	spooled  = "spooled"
	sent     = "sent"
	deferred = "deferred"
	failed   = "failed"
	dropped  = "dropped"
	lost     = "lost"
	withheld = "withheld"
)

// Use puts settings in force, for the messages that wait too.
func (o *Outbox) Use(s Settings) { o.settings.Store(&s) }

func (o *Outbox) count(result string) { o.mails.WithLabelValues(result).Inc() }

// UpgradeRegistered tells the owner of k that c was registered with it by a
// request from that network. When it returns the message is on disk. It asks no
// network, and a failure is logged and counted, not returned: it is not the
// caller's. Of a client that it told of already it says nothing.
func (o *Outbox) UpgradeRegistered(ctx context.Context, k *apikey.Key, c *client.Client, network netip.Prefix) {
	now, s := o.Now(), o.settings.Load()
	var m message
	switch o.told.next(k.ID, c.ID, now) {
	case tellIt:
		m = registered{k, c, network, s}.message(now)
	case tellMore:
		m = moreRegistered(k, s, now)
	case tooMany:
		o.count(withheld)
		return
	case toldBefore:
		return
	}
	to, why := recipients(k, s.Admins)
	if err := o.post(m, to); err != nil {
		o.told.forget(k.ID, c.ID)
		o.count(lost)
		o.Log.LogAttrs(ctx, slog.LevelError, "the owner of an apikey could not be told of a client: the outbox cannot be written",
			slog.String("apikey", k.ID), slog.String("client", c.ID), slog.Any("error", err))
		return
	}
	o.Log.LogAttrs(ctx, slog.LevelInfo, "a message about a client is in the outbox",
		slog.String("apikey", k.ID), slog.String("client", c.ID), slog.String("to", why))
}

// recipients are who is told about an apikey, and why they.
func recipients(k *apikey.Key, admins []mail.Address) (to []mail.Address, why string) {
	if contact, err := ParseAddress(k.Contact); err == nil {
		return []mail.Address{{Address: contact.Address}}, "the contact of the apikey"
	}
	if len(admins) > 0 {
		return admins, "email.to_admins"
	}
	return nil, "nobody: the apikey has no contact and email.to_admins is empty"
}

// post writes a message to the outbox, a file for each recipient; one addressed
// to nobody where there is none.
func (o *Outbox) post(m message, to []mail.Address) error {
	if len(to) == 0 {
		return o.write(m.bytes())
	}
	for i := range to {
		m.to = &to[i]
		if err := o.write(m.bytes()); err != nil {
			return err
		}
	}
	return nil
}

// write writes a message, and makes room for it where the outbox is full.
func (o *Outbox) write(raw []byte) error {
	if err := o.spool.write(raw, o.Now()); err != nil {
		return err
	}
	o.count(spooled)
	o.trim()
	return nil
}

func (o *Outbox) trim() {
	full, err := o.spool.trim()
	for _, name := range full {
		o.count(dropped)
		o.Log.Error("the outbox is full and its oldest message was dropped", "file", name)
	}
	if err != nil {
		o.Log.Error("the outbox is full and nothing can be dropped", "error", err)
	}
}
