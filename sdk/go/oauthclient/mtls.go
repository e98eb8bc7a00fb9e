package oauthclient

import (
	"net/http"
)

// hasCertificate reports whether connections can show one.
func (c *Config) hasCertificate() bool {
	return c.TLS != nil && (len(c.TLS.Certificates) > 0 || c.TLS.GetClientCertificate != nil)
}

// byCertificate reports whether the client proves itself by its certificate.
func (c *Config) byCertificate() bool {
	method := c.authMethod()
	return method == TLSClientAuth || method == SelfSignedTLSClientAuth
}

// client makes the requests to the issuer.
func (c *Config) client() *http.Client {
	if c.HTTPClient != nil || c.TLS == nil {
		return c.HTTPClient
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.secured == nil {
		c.secured = &http.Client{Timeout: requestTime, Transport: c.secureTransport()}
	}
	return c.secured
}

// secureTransport is the default transport with the connections of TLS.
func (c *Config) secureTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = c.TLS.Clone()
	return t
}
