package app

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
)

// peopleLinks are the one-time links of people: where they lead is the sign-in's,
// how they are sent the outbox's.
type peopleLinks struct{ a *App }

// linkPages are the pages of the issuer that links lead to.
var linkPages = map[directory.Purpose]string{
	directory.ForSetup: "/setup", directory.ForInvite: "/invite", directory.ForReset: "/reset", directory.ForEmail: "/verify", directory.ForAddress: "/address",
}

// URL implements api.Links.
func (l peopleLinks) URL(purpose directory.Purpose, raw secret.Text) string {
	issuer := strings.TrimSuffix(l.a.flows.Load().cfg.Issuer, "/")
	return issuer + linkPages[purpose] + "?" + url.Values{"token": {raw.Reveal()}}.Encode()
}

// Mail implements api.Links.
func (l peopleLinks) Mail(ctx context.Context, p *directory.Person, link directory.Link, where string) error {
	return l.a.outbox.PersonLink(ctx, p, link, where, "")
}

// Link implements signin.Mail.
func (l peopleLinks) Link(ctx context.Context, p *directory.Person, link directory.Link, raw secret.Text, language string) error {
	return l.a.outbox.PersonLink(ctx, p, link, l.URL(link.Purpose, raw), language)
}

// wordsOfThePlace are what a password here would be guessed to be: the name of
// the service, the host of the issuer and its parts, and our own.
func (a *App) wordsOfThePlace() []string {
	words := []string{"offkey", a.views.settings.Load().Service}
	if issuer, err := url.Parse(a.views.file.Load().Issuer); err == nil {
		words = append(words, issuer.Hostname())
		words = append(words, strings.Split(issuer.Hostname(), ".")...)
	}
	return words
}

// makeSetupLink makes the link by which the first administrator makes an
// account, anew at each start, while there is nobody.
func (a *App) makeSetupLink() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	raw, _, err := a.views.people.NewSetupLink(ctx)
	if err == nil && !raw.IsZero() {
		a.addresses.Setup = peopleLinks{a}.URL(directory.ForSetup, raw)
	}
	return err
}
