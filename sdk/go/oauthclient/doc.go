// Package oauthclient is a caller's side of OAuth 2.0: it gives a Go program
// access tokens by client_credentials, proving itself with a key pair that
// never leaves the machine (private_key_jwt) or with a client secret, and puts
// them on the program's HTTP calls.
//
// After `offkey upgrade` a program needs three lines:
//
//	config, err := oauthclient.Load("")
//	if err != nil { … }
//	http.DefaultClient.Transport = config.Transport(nil)
//
// It works with any issuer that follows the specs: fill in a [Config] with the
// issuer's URL, the client id and the key.
//
//	config := &oauthclient.Config{
//		Issuer: "https://auth.example.com", ClientID: "billing", KeyFile: "billing.pem",
//		Scopes: []string{"read:orders"}, Resource: "https://api.example.com",
//	}
//
// Each token request carries an assertion made for it alone (RFC 7523 §2.2,
// the issuer as its one audience), tokens are renewed when 80 % of their life
// has passed, callers that come together share one request, and a token goes
// only to the API that it is for.
//
// The package leaves to others what is not client_credentials: signing people
// in (golang.org/x/oauth2), checking tokens (sdk/go/resourceserver), and
// sharing tokens between processes (`offkey token`).
package oauthclient
