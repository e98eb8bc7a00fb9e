package farside

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// Authenticator is one that holds a passkey, as its browser speaks for it
// (WebAuthn Level 3 §6). A test may bend its fields.
type Authenticator struct {
	Key    *ecdsa.PrivateKey
	ID     []byte
	Holder []byte // the user handle
	Count  uint32
	Origin string
	Flags  byte // user present and verified

	t testing.TB
}

// The flags of an answer (WebAuthn Level 3 §6.1).
const (
	UserPresent  = 0x01
	UserVerified = 0x04
	hasKey       = 0x40
)

// NewAuthenticator makes one whose browser is at that origin.
func NewAuthenticator(t testing.TB, origin string) *Authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &Authenticator{Key: key, ID: id, Origin: origin, Flags: UserPresent | UserVerified, t: t}
}

// askedFor is what a page asks for.
type askedFor struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
		RP        struct {
			ID string `json:"id"`
		} `json:"rp"`
		RPID string `json:"rpId"`
		User struct {
			ID string `json:"id"`
		} `json:"user"`
	} `json:"publicKey"`
}

func (a *Authenticator) asked(options string) (asked askedFor) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(options), &asked); err != nil {
		a.t.Fatalf("%v in the options %q", err, options)
	}
	return asked
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *Authenticator) clientData(kind, challenge string) []byte {
	raw, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func (a *Authenticator) data(rp string, more byte) []byte {
	hash := sha256.Sum256([]byte(rp))
	return binary.BigEndian.AppendUint32(append(hash[:], a.Flags|more), a.Count)
}

// COSE is the public key as a server keeps it.
func (a *Authenticator) COSE() []byte {
	point, err := a.Key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	key := append([]byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, point[1:33]...)
	return append(append(key, 0x22, 0x58, 32), point[33:]...)
}

// Create answers a page that asks for a new passkey, with its options as JSON.
func (a *Authenticator) Create(options string) string {
	a.t.Helper()
	asked := a.asked(options).PublicKey
	var err error
	if a.Holder, err = base64.RawURLEncoding.DecodeString(asked.User.ID); err != nil {
		a.t.Fatal(err)
	}
	data := append(a.data(asked.RP.ID, hasKey), make([]byte, 16)...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(a.ID))), a.ID...)
	data = append(data, a.COSE()...)
	var object bytes.Buffer
	object.WriteString("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58")
	object.WriteByte(byte(len(data)))
	object.Write(data)
	return a.said(map[string]any{"clientDataJSON": b64(a.clientData("webauthn.create", asked.Challenge)), "attestationObject": b64(object.Bytes()), "transports": []string{"usb"}})
}

// Get answers a page that asks for a signature, with its options as JSON.
func (a *Authenticator) Get(options string) string {
	a.t.Helper()
	asked := a.asked(options).PublicKey
	a.Count++
	client, data := a.clientData("webauthn.get", asked.Challenge), a.data(asked.RPID, 0)
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.Key, signed[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.said(map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(a.Holder)})
}

func (a *Authenticator) said(response map[string]any) string {
	raw, err := json.Marshal(map[string]any{"id": b64(a.ID), "rawId": b64(a.ID), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(raw)
}

// CodeOf is what an authenticator app shows for a secret (RFC 6238 §4).
func CodeOf(secret []byte, at time.Time) string {
	mac := hmac.New(sha1.New, secret)
	_ = binary.Write(mac, binary.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1_000_000)
}
