package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// ClientStore is what the management of clients asks of storage.
type ClientStore interface {
	Client(ctx context.Context, id string) (*client.Client, error)
	Clients(ctx context.Context, f client.Filter) (clients []*client.Client, next string, err error)
	CreateClient(ctx context.Context, c *client.Client, e audit.Event) error
	// UpdateClient changes a client in one step: change sees it as it is.
	UpdateClient(ctx context.Context, id string, change func(*client.Client) error, e audit.Event) (*client.Client, error)
	DeleteClient(ctx context.Context, id string, e audit.Event) error
}

// clientAnswer is a client as it is shown. Secret is there once, when it is
// made.
type clientAnswer struct {
	*client.Client
	Secret string `json:"client_secret,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

var clientOrders = map[string]func(a, b *client.Client) int{
	"created":   func(a, b *client.Client) int { return a.Created.Compare(b.Created) },
	"name":      func(a, b *client.Client) int { return strings.Compare(a.Name, b.Name) },
	"owner":     func(a, b *client.Client) int { return strings.Compare(a.Owner, b.Owner) },
	"last_used": func(a, b *client.Client) int { return b.LastUsed.Compare(a.LastUsed) }, // the latest first
}

func (s *Server) listClients(r *http.Request) (any, error) {
	q, err := readQuery(r, "owner", "status", "sort", "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	f := client.Filter{Owner: q.text("owner"), Status: client.Status(q.text("status"))}
	if !slices.Contains([]client.Status{"", client.Active, client.Pending, client.Disabled}, f.Status) {
		return nil, badRequest("", "the parameter \"status\" is %q: it is active, pending or disabled", f.Status)
	}
	clients, err := s.allClients(r.Context(), f)
	if err != nil {
		return nil, err
	}
	if err := sortBy(clients, clientOrders, q.text("sort"), func(c *client.Client) string { return c.ID }); err != nil {
		return nil, err
	}
	part, next, err := page(clients, func(c *client.Client) string { return c.ID }, limit, q.text("after"))
	if err != nil {
		return nil, err
	}
	list := struct {
		Clients []*client.Client `json:"clients"`
		Next    *string          `json:"next"`
	}{make([]*client.Client, len(part)), next}
	for i, c := range part {
		list.Clients[i] = shown(c)
	}
	return list, nil
}

func (s *Server) allClients(ctx context.Context, f client.Filter) ([]*client.Client, error) {
	f.Limit = maxPage
	var all []*client.Client
	for {
		part, next, err := s.store.Clients(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if next == "" {
			return all, nil
		}
		f.After = next
	}
}

// findClient takes an id, a unique beginning of one, or a name.
func (s *Server) findClient(ctx context.Context, ref string) (*client.Client, error) {
	if c, err := s.store.Client(ctx, ref); err == nil {
		return c, nil
	}
	all, err := s.allClients(ctx, client.Filter{})
	if err != nil {
		return nil, err
	}
	return pick("client", ref, all, func(c *client.Client) (id, name string) { return c.ID, c.Name })
}

func (s *Server) showClient(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	c, err := s.findClient(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return shown(c), nil
}

func (s *Server) createClient(r *http.Request) (any, error) {
	q, err := readQuery(r, "dry_run")
	if err != nil {
		return nil, err
	}
	dryRun, err := q.flag("dry_run")
	if err != nil {
		return nil, err
	}
	p, err := readJSON[clientProposal](r)
	if err != nil {
		return nil, err
	}
	made, err := p.client(s.now())
	if err != nil {
		return nil, err
	}
	if dryRun {
		return clientAnswer{Client: shown(made.Client), DryRun: true}, nil
	}
	err = s.store.CreateClient(r.Context(), made.Client, event(r, "client.created", made.ID, map[string]any{
		"name": made.Name, "owner": made.Owner, "auth": made.AuthMethod, "scopes": made.Scopes,
	}))
	if err != nil {
		return nil, err
	}
	made.Client = shown(made.Client)
	return answer{http.StatusCreated, made}, nil
}

// changeClient is what all changes of a client have in common: it finds the
// client, refuses those that the file declares, and with dry_run changes a copy
// alone.
func (s *Server) changeClient(r *http.Request, action string, change func(*client.Client) error, detail any) (*client.Client, bool, error) {
	q, err := readQuery(r, "dry_run")
	if err != nil {
		return nil, false, err
	}
	dryRun, err := q.flag("dry_run")
	if err != nil {
		return nil, false, err
	}
	c, err := s.findClient(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, false, err
	}
	guarded := func(c *client.Client) error {
		if err := notFromFile(c); err != nil {
			return err
		}
		return change(c)
	}
	if dryRun {
		c = clone(c)
		return c, true, guarded(c)
	}
	c, err = s.store.UpdateClient(r.Context(), c.ID, guarded, event(r, action, c.ID, detail))
	return c, false, err
}

func clone(c *client.Client) *client.Client {
	copied := *c
	copied.Credentials = slices.Clone(c.Credentials)
	return &copied
}

// shown is c with every list there, so that JSON never says null for none.
func shown(c *client.Client) *client.Client {
	copied := *c
	copied.Credentials, copied.Scopes, copied.Grants = orNone(c.Credentials), orNone(c.Scopes), orNone(c.Grants)
	return &copied
}

// notFromFile refuses to change what the configuration declares: the next
// start would take it back.
func notFromFile(c *client.Client) error {
	if c.Source != client.SourceFile {
		return nil
	}
	return problem(http.StatusConflict, "declared_in_file", "change it there, then run `offkey config reload`", "client %s is declared in the configuration file under clients", c.ID)
}

func (s *Server) updateClient(r *http.Request) (any, error) {
	p, err := readJSON[clientChanges](r)
	if err != nil {
		return nil, err
	}
	c, dryRun, err := s.changeClient(r, "client.updated", func(c *client.Client) error { return p.apply(c, s.now()) }, p)
	if err != nil {
		return nil, err
	}
	if p.Scopes != nil && !dryRun {
		actor, _ := actorOf(r.Context()) // Handler lets nobody in without
		if err := s.o.Road.KeepScopes(r.Context(), c.ID, actor); err != nil {
			return nil, err
		}
	}
	return clientAnswer{Client: shown(c), DryRun: dryRun}, nil
}

func (s *Server) deleteClient(r *http.Request) (any, error) {
	q, err := readQuery(r, "dry_run")
	if err != nil {
		return nil, err
	}
	dryRun, err := q.flag("dry_run")
	if err != nil {
		return nil, err
	}
	c, err := s.findClient(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if err := notFromFile(c); err != nil {
		return nil, err
	}
	if !dryRun {
		if err := s.store.DeleteClient(r.Context(), c.ID, event(r, "client.deleted", c.ID, map[string]any{"name": c.Name, "owner": c.Owner})); err != nil {
			return nil, err
		}
	}
	return clientAnswer{Client: shown(c), DryRun: dryRun}, nil
}

// maxCredentials bounds the live and expired credentials of a client.
const maxCredentials = 20

func addCredential(c *client.Client, cr client.Credential, now time.Time) error {
	if len(c.Credentials) >= maxCredentials {
		c.Credentials = slices.DeleteFunc(c.Credentials, func(cr client.Credential) bool { return !cr.Live(now) })
	}
	if len(c.Credentials) >= maxCredentials {
		return problem(http.StatusConflict, "too_many_credentials", "delete one first", "client %s has %d live credentials", c.ID, len(c.Credentials))
	}
	c.Credentials = append(c.Credentials, cr)
	return nil
}

// rotation asks for a new secret. The old ones stay for Overlap.
type rotation struct {
	Overlap string `json:"overlap"` // "24h"; 0s ends the old secrets at once
}

// defaultOverlap is how long an old secret works beside the new one.
const defaultOverlap = 24 * time.Hour

func (s *Server) rotateClient(r *http.Request) (any, error) {
	p, err := readJSON[rotation](r)
	if err != nil {
		return nil, err
	}
	overlap := defaultOverlap
	if p.Overlap != "" {
		if overlap, err = parseLength(p.Overlap); err != nil {
			return nil, badRequest("", "overlap: %v", err)
		}
	}
	now := s.now()
	made := secret.Generate(secret.KindClientSecret)
	c, dryRun, err := s.changeClient(r, "client.secret_rotated", func(c *client.Client) error {
		if c.AuthMethod != oauth.AuthClientSecretBasic && c.AuthMethod != oauth.AuthClientSecretPost {
			return problem(http.StatusConflict, "no_secret", fmt.Sprintf("add its new public key with `offkey clients rotate %s --jwks-file FILE`", c.ID), "client %s proves itself with %s and has no secret", c.ID, c.AuthMethod)
		}
		expireOld(c, client.KindSecret, now.Add(overlap))
		return addCredential(c, newSecret(made, now), now)
	}, map[string]string{"overlap": overlap.String()})
	if err != nil {
		return nil, err
	}
	if dryRun {
		return clientAnswer{Client: shown(c), DryRun: true}, nil
	}
	return clientAnswer{Client: shown(c), Secret: made.Reveal()}, nil
}

// expireOld ends the credentials of a kind at the given time, unless they end
// before.
func expireOld(c *client.Client, kind string, at time.Time) {
	for i := range c.Credentials {
		cr := &c.Credentials[i]
		if cr.Kind == kind && (cr.Expires.IsZero() || cr.Expires.After(at)) {
			cr.Expires = at
		}
	}
}

func newSecret(made secret.Text, now time.Time) client.Credential {
	return client.Credential{ID: client.NewCredentialID(), Kind: client.KindSecret, Hash: secret.HashOf(made.Reveal()), Created: now}
}

func (s *Server) addClientKeys(r *http.Request) (any, error) {
	p, err := readJSON[keyAddition](r)
	if err != nil {
		return nil, err
	}
	now := s.now()
	added, err := credentialsOf(p.JWKS, oauth.AuthPrivateKeyJWT, now)
	if err != nil {
		return nil, err
	}
	overlap, err := p.overlap()
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(added))
	for i, cr := range added {
		ids[i] = cr.ID
	}
	c, dryRun, err := s.changeClient(r, "client.keys_added", func(c *client.Client) error {
		if c.AuthMethod != oauth.AuthPrivateKeyJWT {
			return problem(http.StatusConflict, "no_keys", "", "client %s proves itself with %s and has no public keys", c.ID, c.AuthMethod)
		}
		if c.JWKSURI != "" {
			return problem(http.StatusConflict, "no_keys", "publish the new key there", "the public keys of client %s are fetched from %s", c.ID, c.JWKSURI)
		}
		for _, cr := range c.Credentials {
			for _, new := range added {
				if cr.Kind == client.KindJWK && cr.Live(now) && cr.Key != nil && cr.Key.Thumbprint() == new.Key.Thumbprint() {
					return problem(http.StatusConflict, "exists", "", "client %s has the key with thumbprint %s already", c.ID, new.Key.Thumbprint())
				}
			}
		}
		if overlap != nil {
			expireOld(c, client.KindJWK, now.Add(*overlap))
		}
		for _, cr := range added {
			if err := addCredential(c, cr, now); err != nil {
				return err
			}
		}
		return nil
	}, map[string]any{"credentials": ids, "overlap": p.Overlap})
	if err != nil {
		return nil, err
	}
	return clientAnswer{Client: shown(c), DryRun: dryRun}, nil
}

func (s *Server) deleteCredential(r *http.Request) (any, error) {
	id := r.PathValue("credential")
	c, dryRun, err := s.changeClient(r, "client.credential_deleted", func(c *client.Client) error {
		left := slices.DeleteFunc(slices.Clone(c.Credentials), func(cr client.Credential) bool { return cr.ID == id })
		if len(left) == len(c.Credentials) {
			return problem(http.StatusNotFound, "not_found", "", "client %s has no credential %s", c.ID, id)
		}
		c.Credentials = left
		return nil
	}, map[string]string{"credential": id})
	if err != nil {
		return nil, err
	}
	return clientAnswer{Client: shown(c), DryRun: dryRun}, nil
}

// approval may narrow what is granted of the scopes that wait.
type approval struct {
	Scopes *oauth.Scope `json:"scopes"` // left out: all that wait
}

func (s *Server) approveClient(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[approval](r)
	if err != nil {
		return nil, err
	}
	c, err := s.findClient(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	var granted oauth.Scope // nil: all that wait
	if p.Scopes != nil {
		granted = append(oauth.Scope{}, *p.Scopes...)
	}
	if dryRun {
		if granted == nil {
			granted = c.PendingScopes
		}
		c = clone(c)
		c.Scopes, c.PendingScopes, c.PendingReason, c.Status = c.Scopes.Union(granted), nil, "", client.Active
		return clientAnswer{Client: shown(c), DryRun: true}, nil
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	c, err = s.o.Road.Approve(r.Context(), c.ID, granted, actor)
	switch {
	case errors.Is(err, migration.ErrNothingPending):
		return nil, problem(http.StatusConflict, "not_pending", "see `offkey clients list --status pending`", "%v", err)
	case errors.Is(err, migration.ErrNotAsked):
		return nil, badRequest("name scopes that wait; `offkey clients show` lists them", "%v", err)
	case err != nil:
		return nil, err
	}
	return clientAnswer{Client: shown(c)}, nil
}

func (s *Server) disableClient(r *http.Request) (any, error) {
	return s.setStatus(r, "client.disabled", client.Disabled)
}

func (s *Server) enableClient(r *http.Request) (any, error) {
	return s.setStatus(r, "client.enabled", client.Active)
}

// setStatus disables or enables. Enabling is not approving: what waits for
// approval goes on waiting, and a client that was disabled while something of it
// waited waits as a whole.
func (s *Server) setStatus(r *http.Request, action string, to client.Status) (any, error) {
	if _, err := readJSON[struct{}](r); err != nil {
		return nil, err
	}
	c, dryRun, err := s.changeClient(r, action, func(c *client.Client) error {
		if to == client.Active && c.Status == client.Pending {
			return problem(http.StatusConflict, "pending", fmt.Sprintf("run `offkey clients approve %s`", c.ID), "client %s waits for approval", c.ID)
		}
		c.Status = to
		if to == client.Active && c.PendingReason != "" {
			c.Status = client.Pending
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	return clientAnswer{Client: shown(c), DryRun: dryRun}, nil
}
