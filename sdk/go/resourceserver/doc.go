// Package resourceserver is an API's side of OAuth 2.0: middleware that checks the
// access token of each request before a handler runs, and answers as the specs want
// where it does not hold.
//
//	api, err := resourceserver.New(resourceserver.Config{
//		Resource: "https://api.example.com", Issuer: "https://auth.example.com",
//	})
//	if err != nil { … }
//	mux.Handle("GET /v1/orders", api.Protect(listOrders, resourceserver.Scopes("read:orders")))
//	mux.Handle("GET "+api.MetadataPath(), api.Metadata())
//
// In a handler, [CallerOf] says who calls. Tokens are JWTs of RFC 9068, checked by
// the keys that the issuer's metadata leads to, which are kept and renewed; tokens
// that are bound to a DPoP key (RFC 9449) or to a TLS certificate (RFC 8705) are
// taken from their holder alone; refusals are challenges (RFC 6750, RFC 9728) that
// tell a client where to get a token and which scope it lacks.
//
// While callers still have API keys, [Config.Offkey] lets requests without a token be
// judged by an offkey: its stages, refusals and records hold for them too. Behind an
// offkey gateway with `token_call: jwt`, [Config.Gateway] checks what it says.
//
// The package leaves to others who may see which order: that is the API's own.
package resourceserver
