package federation

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/authserver/registration"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
)

// documentBounds: a document is kept as its server says, within a day. It is
// never used once it cannot be had, and a failure is never remembered
// (draft-ietf-oauth-client-id-metadata-document).
var documentBounds = bounds{fresh: 15 * time.Minute, least: 30 * time.Second, most: 24 * time.Hour, refreshed: 30 * time.Second}

// MaxDocument bounds a client metadata document, in bytes.
const MaxDocument = 5 << 10

// ClientDocuments are clients whose client_id is the URL of their metadata. They
// are kept in memory alone, and there are at most a thousand of them. Safe for
// concurrent use.
type ClientDocuments struct {
	kept *kept[*client.Client]
	// What anybody asks for has us call somebody else.
	hosts, all *limit.Limiter
	now        func() time.Time
}

// maxDocuments bounds the documents that are kept.
const maxDocuments = 1000

// NewClientDocuments makes a ClientDocuments. f must have been made with
// MaxDocument.
func NewClientDocuments(f *Fetcher, now func() time.Time) *ClientDocuments {
	return &ClientDocuments{
		kept: &kept[*client.Client]{
			what: "client metadata document", accept: "application/json", bounds: documentBounds, fetcher: f, now: now, capacity: maxDocuments,
			byURI: make(map[string]*entry[*client.Client]),
			parse: func(uri string, doc Document) (*client.Client, error) {
				if !isJSON(doc.Type) {
					return nil, fmt.Errorf("content type is %q, want application/json", doc.Type)
				}
				return registration.ReadDocument(uri, doc.Body, registration.DocumentPolicy(), now())
			},
		},
		hosts: limit.New(1, 20, 1<<12), all: limit.New(20, 200, 1), now: now,
	}
}

// isJSON takes application/json and what is built on it.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json"))
}

// Names reports whether a client_id is the URL of a document.
func (d *ClientDocuments) Names(id string) bool { return registration.IsDocumentURL(id) }

// Client returns the client of a document. The error is an *oauth.Error
// invalid_client that says what is wrong with it, for its developer.
func (d *ClientDocuments) Client(ctx context.Context, id string) (*client.Client, error) {
	if err := registration.CheckDocumentURL(id); err != nil {
		return nil, oauth.InvalidClient(err.Error())
	}
	if !d.kept.has(id) {
		u, _ := url.Parse(id) // CheckDocumentURL has parsed it
		host, _ := d.hosts.Allow(u.Host, d.now())
		all, _ := d.all.Allow("", d.now())
		if !host || !all {
			return nil, oauth.TemporarilyUnavailable("too many client metadata documents are asked for: try again in a minute")
		}
	}
	c, err := d.kept.current(ctx, id)
	var wrong *oauth.Error
	switch {
	case errors.As(err, &wrong):
		return nil, oauth.InvalidClient("the client metadata document cannot be used: " + wrong.Description).WithCause(err)
	case err != nil:
		return nil, oauth.InvalidClient("the client metadata document at client_id cannot be fetched: it must be JSON of up to 5 KB at that very URL, answered with 200 and no redirect, from a public address").WithCause(err)
	}
	copied := *c // whoever asks may add to it
	return &copied, nil
}
