package agent

import (
	"net/http"
	"net/netip"
	"strings"
)

// fromBrowser says why a call is none of a program: a page of some site that is
// open on this machine could else call the API through the agent, which answers on
// an address that the page can guess. "" lets it pass.
//
// Browsers say where a call comes from (Sec-Fetch-Site, Origin). A site whose name
// was made to point here calls the agent by that name, which is none of its own.
func (a *Agent) fromBrowser(r *http.Request) string {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" {
		return "The call comes from a page in a browser. The agent is for programs."
	}
	if r.Header.Get("Origin") != "" {
		return "The call comes from a page in a browser (it has an Origin). The agent is for programs."
	}
	if local, _ := r.Context().Value(http.LocalAddrContextKey).(interface{ Network() string }); local != nil && local.Network() == "unix" {
		return "" // no name leads a browser there
	}
	host := hostOf(r.Host)
	if host == "" || strings.EqualFold(host, "localhost") || a.hosts[strings.ToLower(host)] {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return "The agent is called by a name that is none of its own: call it by its address, or name the API's host in --api HOST=URL."
}
