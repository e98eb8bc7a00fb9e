package app

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/config"
)

// certificate is the pair of files of `tls: {mode: files}`, read again on
// reload. Connections that are open keep what they were made with.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// load reads the pair; a pair that does not hold is refused and the old one
// stays.
func (c *certificate) load(cfg *config.Loaded) error {
	pair, err := tls.LoadX509KeyPair(cfg.Path(cfg.TLS.Cert), cfg.Path(cfg.TLS.Key))
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	if leaf := pair.Leaf; leaf != nil && time.Now().After(leaf.NotAfter) {
		return fmt.Errorf("tls.cert expired on %s", leaf.NotAfter.Format(time.DateOnly))
	}
	c.current.Store(&pair)
	return nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}
