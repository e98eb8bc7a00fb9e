package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/offkey/offkey/bench/load"
)

const scope = "read:orders"

// benchTokens compares token issue with its floor.
func benchTokens(ctx context.Context, o options, dir string, out io.Writer) (kept bool, err error) {
	offkey, err := startOffkey(ctx, dir, "http://127.0.0.1:9")
	if err != nil {
		return false, err
	}
	defer offkey.stop()
	withSecret, err := offkey.secretClient(ctx)
	if err != nil {
		return false, err
	}
	withKey, err := offkey.keyClient(ctx)
	if err != nil {
		return false, err
	}
	floor, err := startFloor(ctx, dir, withSecret, withKey)
	if err != nil {
		return false, err
	}
	defer floor.stop()

	secret := suite{
		title: "Token issue, client_secret_basic", baseline: "floor", requests: o.tokens,
		subjects: []subject{
			{name: "floor", process: floor.process(), load: secretLoad(o, floor.said, "bench", withSecret.secret)},
			{name: "offkey", process: offkey.process(), load: secretLoad(o, offkey.Issuer, withSecret.id, withSecret.secret)},
		},
		limits: []limit{{"offkey", "floor", 1.4}},
	}
	assertion := suite{
		title: "Token issue, private_key_jwt (ES256 verified, jti spent durably)", baseline: "floor", requests: o.tokens,
		subjects: []subject{
			{name: "floor", process: floor.process(), load: assertionLoad(o, floor.said, "bench", withKey.key)},
			{name: "offkey", process: offkey.process(), load: assertionLoad(o, offkey.Issuer, withKey.id, withKey.key)},
		},
		limits: []limit{{"offkey", "floor", 1.5}},
	}
	keptSecret, err := secret.run(ctx, o.rounds, out)
	if err != nil {
		return false, err
	}
	keptAssertion, err := assertion.run(ctx, o.rounds, out)
	return keptSecret && keptAssertion, err
}

// startFloor gives the floor the same credentials.
func startFloor(ctx context.Context, dir string, withSecret, withKey credential) (*server, error) {
	secretFile, keyFile := filepath.Join(dir, "floor.secret"), filepath.Join(dir, "floor.pem")
	public, err := x509.MarshalPKIXPublicKey(withKey.key.Public())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(secretFile, []byte(withSecret.secret), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, serverCore, filepath.Join(dir, "floor"), "-secret-file", secretFile, "-public-key-file", keyFile)
}

// secretLoad is the same request n times.
func secretLoad(o options, issuer, id, secret string) func(int) (load.Load, error) {
	return func(n int) (load.Load, error) {
		r, err := tokenRequest(issuer, url.Values{})
		if err != nil {
			return load.Load{}, err
		}
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		raw, err := bytesOf(r)
		return load.Load{Addr: r.URL.Host, Connections: o.connections, Requests: n, Status: http.StatusOK, Request: func(int) []byte { return raw }}, err
	}
}

// assertionLoad is n requests, each with an assertion of its own, signed
// before the clock starts.
func assertionLoad(o options, issuer, id string, key *ecdsa.PrivateKey) func(int) (load.Load, error) {
	return func(n int) (load.Load, error) {
		requests := make([][]byte, n)
		l := load.Load{Connections: o.connections, Requests: n, Status: http.StatusOK, Request: func(i int) []byte { return requests[i] }}
		for i := range requests {
			assertion, err := signAssertion(issuer, id, key)
			if err != nil {
				return load.Load{}, err
			}
			r, err := tokenRequest(issuer, url.Values{
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
			})
			if err != nil {
				return load.Load{}, err
			}
			l.Addr = r.URL.Host
			if requests[i], err = bytesOf(r); err != nil {
				return load.Load{}, err
			}
		}
		return l, nil
	}
}

func tokenRequest(issuer string, form url.Values) (*http.Request, error) {
	form.Set("grant_type", "client_credentials")
	form.Set("scope", scope)
	r, err := http.NewRequest(http.MethodPost, issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, nil
}

// bytesOf is a request as it is sent.
func bytesOf(r *http.Request) ([]byte, error) {
	var b strings.Builder
	r.Header.Set("User-Agent", "bench")
	err := r.Write(&b)
	return []byte(b.String()), err
}

// signAssertion makes a client assertion that is good for four minutes.
func signAssertion(issuer, id string, key *ecdsa.PrivateKey) (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": id, "sub": id, "aud": issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(4 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	part := base64.RawURLEncoding.EncodeToString
	header := fmt.Sprintf(`{"alg":"ES256","kid":%q,"typ":"client-authentication+jwt"}`, keyID)
	signed := part([]byte(header)) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	var rs [64]byte
	r.FillBytes(rs[:32])
	s.FillBytes(rs[32:])
	return signed + "." + part(rs[:]), nil
}

// keyID names the client's one key.
const keyID = "bench"

// publicKeySet is the public half as a client registers it.
func publicKeySet(key *ecdsa.PrivateKey) ([]byte, error) {
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil, err
	}
	part := base64.RawURLEncoding.EncodeToString
	return json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "x": part(point[1:33]), "y": part(point[33:]), "kid": keyID, "alg": "ES256", "use": "sig",
	}}})
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
