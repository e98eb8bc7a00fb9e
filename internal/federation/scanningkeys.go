package federation

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// gitHubScanningKeys is where GitHub publishes the keys of secret scanning.
const gitHubScanningKeys = "https://api.github.com/meta/public_keys/secret_scanning"

// maxScanningKeys bounds how many keys one document has.
const maxScanningKeys = 20

// ScanningKeys fetches the keys that secret scanning signs its messages with, and
// keeps them. Safe for concurrent use.
type ScanningKeys struct {
	*kept[map[string]*ecdsa.PublicKey]
	uri string
}

// NewScanningKeys makes a cache of the keys at uri; "" is GitHub's own.
func NewScanningKeys(f *Fetcher, uri string, now func() time.Time) *ScanningKeys {
	if uri == "" {
		uri = gitHubScanningKeys
	}
	return &ScanningKeys{uri: uri, kept: &kept[map[string]*ecdsa.PublicKey]{
		what: "keys of secret scanning", accept: "application/json", bounds: keyBounds,
		parse:   func(_ string, doc Document) (map[string]*ecdsa.PublicKey, error) { return parseScanningKeys(doc.Body) },
		fetcher: f, now: now, capacity: 1, byURI: make(map[string]*entry[map[string]*ecdsa.PublicKey]),
	}}
}

// ErrNoScanningKey is the answer about a key that is not published.
var ErrNoScanningKey = errors.New("no key of that identifier is published")

// Key returns the key with that identifier. One that is not in memory is looked
// for anew, though not more often than every half minute: a stranger may have
// made it up.
func (k *ScanningKeys) Key(ctx context.Context, id string) (*ecdsa.PublicKey, error) {
	if id == "" {
		return nil, ErrNoScanningKey
	}
	keys, err := k.current(ctx, k.uri)
	if err != nil {
		return nil, err
	}
	if keys[id] == nil {
		if keys, err = k.refresh(ctx, k.uri); err != nil {
			return nil, err
		}
	}
	if key := keys[id]; key != nil {
		return key, nil
	}
	return nil, ErrNoScanningKey
}

func parseScanningKeys(raw []byte) (map[string]*ecdsa.PublicKey, error) {
	var doc struct {
		Keys []struct {
			ID  string `json:"key_identifier"`
			Key string `json:"key"`
		} `json:"public_keys"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("not the document that was expected: %w", err)
	}
	if len(doc.Keys) == 0 || len(doc.Keys) > maxScanningKeys {
		return nil, fmt.Errorf("%d keys, from 1 to %d are taken", len(doc.Keys), maxScanningKeys)
	}
	keys := make(map[string]*ecdsa.PublicKey, len(doc.Keys))
	for _, k := range doc.Keys {
		block, _ := pem.Decode([]byte(k.Key))
		if block == nil {
			return nil, fmt.Errorf("key %q is not PEM", k.ID)
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k.ID, err)
		}
		key, ok := parsed.(*ecdsa.PublicKey)
		if !ok || key.Curve != elliptic.P256() {
			return nil, fmt.Errorf("key %q is not on P-256", k.ID)
		}
		keys[k.ID] = key
	}
	return keys, nil
}
