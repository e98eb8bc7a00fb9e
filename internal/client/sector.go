package client

import (
	"net/url"

	"github.com/offkey/offkey/internal/oauth"
)

// Sector is the host that pairwise subjects are made for (OIDC Core §8.1): the
// one that was registered, or that of the redirect URIs, which is then the same
// for all. Where it is neither, or only this machine, the client has a sector of
// its own.
func (c *Client) Sector() string {
	if c.SectorIdentifier != "" {
		return c.SectorIdentifier
	}
	host := ""
	for _, uri := range c.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || u.Hostname() == "" || host != "" && u.Hostname() != host {
			return "client:" + c.ID
		}
		host = u.Hostname()
	}
	if host == "" || oauth.IsLoopback(host) {
		return "client:" + c.ID
	}
	return host
}
