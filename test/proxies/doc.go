// Package proxies runs nginx and Caddy, configured as docs/how-to/beside-a-proxy.md
// has it, in front of a real API and beside a real offkey that they ask about each
// call. There is nothing to import.
package proxies
