// Package interop holds tests only: clients that we did not write get tokens
// from offkey, and offkey's caller commands and SDK get tokens from an issuer
// that we did not write. The scripts are in node/, python/ and java/; what they
// need is installed by `make setup`.
package interop
