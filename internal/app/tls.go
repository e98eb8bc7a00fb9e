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
func (c *certificate) load(cfg *config.Loaded, now time.Time) error {
	cert, key := cfg.Path(cfg.TLS.Cert), cfg.Path(cfg.TLS.Key)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("tls.cert %s and tls.key %s cannot be used: %w; put the chain and the key that belongs to it there, in PEM", cert, key, err)
	}
	if leaf := pair.Leaf; leaf != nil && now.After(leaf.NotAfter) {
		return fmt.Errorf("tls.cert %s expired on %s; put the renewed chain there", cert, leaf.NotAfter.Format(time.DateOnly))
	}
	c.current.Store(&pair)
	return nil
}

// tls12Suites are those of TLS 1.2 with forward secrecy and authenticated
// encryption (BCP 195, FAPI 2.0 Security Profile §5.2.2). TLS 1.3 has no others.
var tls12Suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// asking is config with a certificate asked of callers, who may have none. That
// they hold its key is proved by the handshake; whether it counts for anything
// is judged client by client.
func (c *certificate) asking() *tls.Config {
	config := c.config()
	config.ClientAuth = tls.RequestClientCert
	return config
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		CipherSuites: tls12Suites,
		NextProtos:   []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}
