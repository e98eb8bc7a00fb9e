package signin_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"regexp"
	"testing"
)

// authenticator is one that holds passkeys, as its browser speaks for it
// (WebAuthn Level 3 §6).
type authenticator struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	id     []byte
	holder []byte
	count  uint32
	// What a test may bend.
	origin string
	flags  byte // user present and verified
}

const (
	userPresent  = 0x01
	userVerified = 0x04
	hasKey       = 0x40
)

func newAuthenticator(t testing.TB) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &authenticator{t: t, key: key, id: id, origin: issuer, flags: userPresent | userVerified}
}

var optionsOf = regexp.MustCompile(`data-passkey="(get|create)" data-options="([^"]*)"`)

// asked is what a page asks for.
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
		UserVerification string `json:"userVerification"`
		Allow            []any  `json:"allowCredentials"`
	} `json:"publicKey"`
}

func (p page) asked() (a askedFor) {
	p.t.Helper()
	m := optionsOf.FindStringSubmatch(p.body)
	if m == nil {
		p.t.Fatalf("no passkey is asked for at %s:\n%s", p.path, p.body)
	}
	if err := json.Unmarshal([]byte(unescape.Replace(m[2])), &a); err != nil {
		p.t.Fatal(err)
	}
	return a
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *authenticator) clientData(kind, challenge string) []byte {
	raw, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func (a *authenticator) data(rp string, more byte) []byte {
	hash := sha256.Sum256([]byte(rp))
	return binary.BigEndian.AppendUint32(append(hash[:], a.flags|more), a.count)
}

// create answers a page that asks for a new passkey.
func (a *authenticator) create(p page) string {
	a.t.Helper()
	asked := p.asked().PublicKey
	var err error
	if a.holder, err = base64.RawURLEncoding.DecodeString(asked.User.ID); err != nil {
		a.t.Fatal(err)
	}
	data := append(a.data(asked.RP.ID, hasKey), make([]byte, 16)...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(a.id))), a.id...)
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	data = append(data, 0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32)
	data = append(append(append(data, point[1:33]...), 0x22, 0x58, 32), point[33:]...)
	var object bytes.Buffer
	object.WriteString("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58")
	object.WriteByte(byte(len(data)))
	object.Write(data)
	return a.said(map[string]any{"clientDataJSON": b64(a.clientData("webauthn.create", asked.Challenge)), "attestationObject": b64(object.Bytes()), "transports": []string{"usb"}})
}

// get answers a page that asks for a signature.
func (a *authenticator) get(p page) string {
	a.t.Helper()
	asked := p.asked().PublicKey
	a.count++
	client, data := a.clientData("webauthn.get", asked.Challenge), a.data(asked.RPID, 0)
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(bytes.Clone(data), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, signed[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.said(map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(a.holder)})
}

func (a *authenticator) said(response map[string]any) string {
	raw, err := json.Marshal(map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(raw)
}
