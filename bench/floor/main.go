// Command floor is what offkey's token endpoint is compared with: the least
// that a server can do for an access token by client_credentials. A bare
// net/http handler reads the form, compares one SHA-256 or verifies one ES256
// assertion whose jti it keeps in a map, and signs ES256, all by the standard
// library. It has one client, no scopes, no limits, no record, nothing durable.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	id := flag.String("client", "bench", "the client's id")
	secretFile := flag.String("secret-file", "", "file with the client's secret")
	publicFile := flag.String("public-key-file", "", "file with the client's public key (PEM, P-256)")
	flag.Parse()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	s, err := newServer("http://"+listener.Addr().String(), *id, *secretFile, *publicFile)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.issuer)
	log.Fatal(http.Serve(listener, s))
}

// newServer reads the client's credentials; either file may be missing.
func newServer(issuer, id, secretFile, publicFile string) (*server, error) {
	signing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &server{issuer: issuer, client: id, signing: signing, spent: map[string]int64{}}
	if secretFile != "" {
		secret, err := os.ReadFile(secretFile)
		if err != nil {
			return nil, err
		}
		s.secret = sha256.Sum256(secret)
	}
	if publicFile != "" {
		raw, err := os.ReadFile(publicFile)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(raw)
		if block == nil {
			return nil, fmt.Errorf("%s holds no PEM block", publicFile)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", publicFile, err)
		}
		var ok bool
		if s.public, ok = public.(*ecdsa.PublicKey); !ok {
			return nil, fmt.Errorf("%s holds a %T", publicFile, public)
		}
	}
	return s, nil
}
