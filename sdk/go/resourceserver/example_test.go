package resourceserver_test

import (
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/offkey/offkey/sdk/go/resourceserver"
)

// An API that takes tokens of one issuer, asks for a scope on each route, and wants
// a recent sign-in where orders are deleted.
func Example() {
	api, err := resourceserver.New(resourceserver.Config{
		Resource: "https://api.example.com",
		Issuer:   "https://auth.example.com",
		Scopes:   []string{"read:orders", "create:orders", "delete:orders"},
	})
	if err != nil {
		log.Fatal(err)
	}
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := resourceserver.CallerOf(r.Context())
		_, _ = fmt.Fprintf(w, "orders for %s", caller.Subject)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /v1/orders", api.Protect(orders, resourceserver.Scopes("read:orders")))
	mux.Handle("POST /v1/orders", api.Protect(orders, resourceserver.Scopes("create:orders")))
	mux.Handle("DELETE /v1/orders/{id}", api.Protect(orders,
		resourceserver.Scopes("delete:orders"), resourceserver.SignedIn(10*time.Minute)))
	mux.Handle("GET "+api.MetadataPath(), api.Metadata())
	fmt.Println(api.MetadataPath())
	// Output: /.well-known/oauth-protected-resource
}

// While callers still send API keys, the check that the API had goes on, and an offkey
// is asked about each such call: it records it, announces the end of keys, and refuses
// those that are retired.
func Example_whileKeysEnd() {
	_, err := resourceserver.New(resourceserver.Config{
		Resource: "https://api.example.com",
		Issuer:   "https://auth.example.com",
		APIKeys:  func(r *http.Request) bool { return r.Header.Get("X-API-Key") == "as before" },
		Offkey:   "http://127.0.0.1:8484",
	})
	fmt.Println(err)
	// Output: <nil>
}

// Behind an offkey gateway with `token_call: jwt` the API believes what the gateway
// signs for each call, and nothing that is unsigned.
func Example_behindAGateway() {
	_, err := resourceserver.New(resourceserver.Config{
		Resource: "https://api.example.com",
		Issuer:   "https://auth.example.com",
		Gateway: resourceserver.Gateway{
			Issuer:   "https://api.example.com/_offkey",
			JWKSURL:  "http://127.0.0.1:8484/_offkey/jwks",
			Audience: "http://127.0.0.1:8080", // gateway.upstreams.api.url
		},
	})
	fmt.Println(err)
	// Output: <nil>
}
