package oauthclient_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// After `offkey upgrade` has run on this machine.
func ExampleLoad() {
	config, err := oauthclient.Load("")
	if err != nil {
		log.Fatal(err)
	}
	http.DefaultClient.Transport = config.Transport(nil)
}

// With an issuer that somebody else runs.
func ExampleConfig() {
	config := &oauthclient.Config{
		Issuer:   "https://auth.example.com",
		ClientID: "billing",
		KeyFile:  "/run/secrets/billing.pem",
		Scopes:   []string{"read:orders"},
		Resource: "https://api.example.com",
	}
	resp, err := config.Client().Get("https://api.example.com/v1/orders")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
}

// Beside code that takes an oauth2.TokenSource, such as a gRPC credential.
func ExampleConfig_TokenSource() {
	config, err := oauthclient.Load("")
	if err != nil {
		log.Fatal(err)
	}
	source := config.TokenSource(context.Background())
	client := oauth2.NewClient(context.Background(), source)
	_ = client
}

// A secret shows nowhere, however it is printed.
func ExampleSecret() {
	config := oauthclient.Config{ClientID: "billing", Secret: "a-secret"}
	fmt.Printf("%v %+v %q", config.Secret, config.Secret, config.Secret)
	// Output: [hidden] [hidden] [hidden]
}
