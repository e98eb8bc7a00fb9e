package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"
)

type server struct {
	issuer  string
	client  string
	secret  [sha256.Size]byte
	public  *ecdsa.PublicKey
	signing *ecdsa.PrivateKey

	mu    sync.Mutex
	spent map[string]int64 // jti of assertions
}

const (
	life          = 15 * time.Minute
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	now := time.Now()
	if err := s.authenticate(r, now); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	token, err := s.issue(r.PostForm.Get("scope"), now)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(answer{token, "Bearer", int64(life / time.Second), r.PostForm.Get("scope")})
}

type answer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Scope       string `json:"scope"`
}

func (s *server) authenticate(r *http.Request, now time.Time) error {
	if id, secret, ok := r.BasicAuth(); ok {
		sum := sha256.Sum256([]byte(secret))
		if id != s.client || subtle.ConstantTimeCompare(sum[:], s.secret[:]) != 1 {
			return errors.New("wrong secret")
		}
		return nil
	}
	if r.PostForm.Get("client_assertion_type") != assertionType {
		return errors.New("no credential")
	}
	return s.checkAssertion(r.PostForm.Get("client_assertion"), now)
}

var base64URL = base64.RawURLEncoding

// checkAssertion verifies an ES256 assertion and spends its jti.
func (s *server) checkAssertion(raw string, now time.Time) error {
	signed, signature, ok := cutLast(raw, '.')
	header, payload, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 || s.public == nil {
		return errors.New("not a JWT")
	}
	var head struct {
		Alg string `json:"alg"`
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		ID       string `json:"jti"`
		Expires  int64  `json:"exp"`
	}
	if err := errors.Join(decode(header, &head), decode(payload, &claims)); err != nil {
		return err
	}
	rs, err := base64URL.DecodeString(signature)
	if err != nil || len(rs) != 64 || head.Alg != "ES256" {
		return errors.New("no ES256 signature")
	}
	sum := sha256.Sum256([]byte(signed))
	if !ecdsa.Verify(s.public, sum[:], new(big.Int).SetBytes(rs[:32]), new(big.Int).SetBytes(rs[32:])) {
		return errors.New("wrong signature")
	}
	if claims.Issuer != s.client || claims.Subject != s.client || claims.Audience != s.issuer || claims.Expires < now.Unix() {
		return errors.New("wrong claims")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, spent := s.spent[claims.ID]; spent {
		return errors.New("jti was used before")
	}
	s.spent[claims.ID] = claims.Expires
	return nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func decode(part string, into any) error {
	raw, err := base64URL.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// header is that of every token.
var header = base64URL.EncodeToString([]byte(`{"alg":"ES256","typ":"at+jwt","kid":"1"}`))

type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
	Audience string `json:"aud"`
	ID       string `json:"jti"`
	Scope    string `json:"scope,omitempty"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`
}

// issue signs a token of the shape of RFC 9068.
func (s *server) issue(scope string, now time.Time) (string, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims{s.issuer, s.client, s.client, s.issuer, base64URL.EncodeToString(id[:]), scope, now.Unix(), now.Add(life).Unix()})
	if err != nil {
		return "", err
	}
	signed := header + "." + base64URL.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	r, t, err := ecdsa.Sign(rand.Reader, s.signing, sum[:])
	if err != nil {
		return "", err
	}
	var rs [64]byte
	r.FillBytes(rs[:32])
	t.FillBytes(rs[32:])
	return signed + "." + base64URL.EncodeToString(rs[:]), nil
}
