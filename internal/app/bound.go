package app

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/token"
)

// bindTokens gives the issuer what it needs for tokens that are bound to a key or
// a certificate, and for clients that come with one.
func (a *App) bindTokens(cfg *config.Loaded, f *flows, o *authserver.Options) (err error) {
	if cfg.Features.DPoPNonce == "on" {
		o.Nonces = token.NewNonces(a.data.master.Derive("dpop nonce of the issuer"))
	}
	o.MutualTLS = cfg.MutualTLS()
	if o.MTLSBase, err = a.mtlsBase(cfg); err != nil {
		return err
	}
	if cfg.TLS.ClientCA != "" {
		if o.ClientCAs, err = certPool(cfg.Path(cfg.TLS.ClientCA)); err != nil {
			return fmt.Errorf("tls.client_ca: %w", err)
		}
	}
	o.Certificates = func(r *http.Request) []*x509.Certificate {
		ders, err := f.gateway.Certificates(r)
		if err != nil {
			a.Log.Warn("a client certificate that a proxy passed on cannot be read", "error", err)
			return nil
		}
		certs, err := parseCertificates(ders)
		if err != nil {
			a.Log.Debug("a client certificate cannot be read", "error", err)
		}
		return certs
	}
	return nil
}

// gatewayNonces are those of the gateway, which no other process knows; nil where
// none are asked for.
func (a *App) gatewayNonces(cfg *config.Loaded) *token.Nonces {
	if cfg.Features.DPoPNonce != "on" {
		return nil
	}
	return a.nonces
}

// mtlsBase is where the issuer asks for certificates: where the file says, else
// at the port of the listener for that.
func (a *App) mtlsBase(cfg *config.Loaded) (string, error) {
	if cfg.TLS.MTLSURL != "" || a.mtlsPort == "" {
		return cfg.TLS.MTLSURL, nil
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil {
		return "", fmt.Errorf("issuer: %w", err)
	}
	issuer.Scheme, issuer.Host = "https", net.JoinHostPort(issuer.Hostname(), a.mtlsPort)
	return issuer.String(), nil
}

func parseCertificates(ders [][]byte) ([]*x509.Certificate, error) {
	certs := make([]*x509.Certificate, 0, len(ders))
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	return certs, nil
}
