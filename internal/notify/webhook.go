package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/secret"
)

// Webhook is who is told beside mail, by a signed POST.
type Webhook struct {
	URL    string
	Secret secret.Text
	// Post sends a body with those headers, through the guard of outbound
	// requests, and answers with the status.
	Post func(ctx context.Context, url string, header http.Header, body []byte) (status int, err error)
}

// hookEvent is the body of a webhook: what owners are told, without their
// addresses.
type hookEvent struct {
	Type      string       `json:"type"` // "apikey.notice"
	Timestamp time.Time    `json:"timestamp"`
	Data      []hookNotice `json:"data"`
}

type hookNotice struct {
	APIKeyID string     `json:"apikey_id"`
	Last4    string     `json:"last4"`
	Label    string     `json:"label,omitempty"`
	Owner    string     `json:"owner,omitempty"`
	Occasion string     `json:"occasion"`
	Stage    string     `json:"stage"`
	Until    *time.Time `json:"until"`
	Program  string     `json:"program,omitempty"`
	Calls    int64      `json:"calls"`
	Route    string     `json:"route,omitempty"`
	Command  string     `json:"command"`
}

// hook keeps what is posted, where somebody wants it.
func (o *Outbox) hook(b migration.Bundle, at time.Time) error {
	s := o.settings.Load()
	if s.Webhook == nil {
		return nil
	}
	e := hookEvent{Type: "apikey.notice", Timestamp: at.UTC()}
	for _, n := range b.Notices {
		one := hookNotice{
			APIKeyID: n.APIKeyID, Last4: n.Key.Last4, Label: n.Key.Label, Owner: n.Key.Owner, Occasion: n.Kind(), Stage: n.Stage.String(),
			Program: n.Program, Calls: n.Calls, Route: n.Route, Command: "offkey upgrade --api " + s.API + " --apikey-stdin",
		}
		if !n.Until.IsZero() {
			until := n.Until.UTC()
			one.Until = &until
		}
		e.Data = append(e.Data, one)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return o.hooks.spool.write(raw, at)
}

// hooks are the posts that wait, and how the last one went.
type hooks struct {
	spool *spool
	mu    sync.Mutex
	under *Webhook
	last  attempt
}

func openHooks(folder string) (*hooks, error) {
	kept, err := openSpool(filepath.Join(folder, "webhooks"), mostWaiting)
	return &hooks{spool: kept}, err
}

// DeliverHooks posts what waits, oldest first, and returns when nothing is left
// that could be sent now. One that is not taken holds up those behind it: they
// are told of in their order.
func (o *Outbox) DeliverHooks(ctx context.Context) error {
	h, w := o.hooks, o.settings.Load().Webhook
	h.mu.Lock()
	defer h.mu.Unlock()
	if w == nil {
		return nil
	}
	if h.under == nil || h.under.URL != w.URL {
		h.last = attempt{}
	}
	h.under = w
	if o.Now().Before(h.last.next) {
		return h.last.err
	}
	names, err := h.spool.waiting()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := o.postHook(ctx, w, name); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			h.last.failed(o.Now(), err, firstServerWait, longestServerWait)
			if h.last.hopeless(name, o.Now()) {
				o.Log.Error("a webhook was not taken for days and is put aside in outbox/webhooks/failed", "file", name, "error", err)
				return cmp.Or(h.spool.putAside(name), err)
			}
			return err
		}
		h.last = attempt{}
	}
	_, err = h.spool.trim()
	return err
}

func (o *Outbox) postHook(ctx context.Context, w *Webhook, name string) error {
	body, err := o.hooks.spool.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // taken out by hand
	}
	if err != nil {
		return err
	}
	id := "msg_" + strings.TrimSuffix(name, suffix)
	status, err := w.Post(ctx, w.URL, signedHook(id, o.Now(), body, w.Secret), body)
	switch {
	case err != nil:
		return fmt.Errorf("the webhook cannot be reached: %w", err)
	case status == http.StatusGone:
		o.Log.Warn("the webhook says that it is gone: the message is put aside", "file", name)
		return o.hooks.spool.putAside(name)
	case status < 200 || status > 299:
		return fmt.Errorf("the webhook answers %d", status)
	}
	return o.hooks.spool.remove(name)
}

// signedHook are the headers of a post: who gets it can tell that it is ours,
// new, and not seen before (Standard Webhooks, "Signature scheme": HMAC-SHA-256
// over id, time and body, separated by dots).
func signedHook(id string, at time.Time, body []byte, key secret.Text) http.Header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, hookKey(key))
	var signed bytes.Buffer
	signed.WriteString(id + "." + stamp + ".")
	signed.Write(body)
	mac.Write(signed.Bytes())
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "offkey")
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return h
}

// hookKey is the secret as bytes: whsec_ and base64, or as it stands.
func hookKey(key secret.Text) []byte {
	if encoded, ok := strings.CutPrefix(key.Reveal(), "whsec_"); ok {
		if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return raw
		}
	}
	return []byte(key.Reveal())
}
