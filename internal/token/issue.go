package token

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
)

// Issuer signs access tokens. Safe for concurrent use.
type Issuer struct {
	issuer string
	ring   func() *keyring.Ring
	now    func() time.Time
}

// NewIssuer makes an Issuer that names itself issuer and signs with the key
// that ring says is due.
func NewIssuer(issuer string, ring func() *keyring.Ring, now func() time.Time) *Issuer {
	return &Issuer{issuer: issuer, ring: ring, now: now}
}

// Issued is a new access token and what it says.
type Issued struct {
	Token string
	Claims
}

// jtiBytes is the entropy of a jti: 128 bits.
const jtiBytes = 16

// Issue makes an access token of type at+jwt (RFC 9068 §2.1). It writes nothing
// anywhere.
func (i *Issuer) Issue(a Authorization) (Issued, error) {
	switch {
	case a.Client == nil || a.Client.ID == "":
		return Issued{}, errors.New("issue token: no client")
	case len(a.Resources) == 0:
		return Issued{}, errors.New("issue token: no audience") // a token for everyone
	case a.Life < time.Second:
		return Issued{}, fmt.Errorf("issue token: life of %v", a.Life)
	}
	now := i.now()
	signer, err := i.ring().Signer(now)
	if err != nil {
		return Issued{}, fmt.Errorf("issue token: %w", err)
	}
	if !a.At.IsZero() && a.At.Before(now) {
		now = a.At
	}
	issuedAt := now.UTC().Truncate(time.Second)
	claims := Claims{
		Issuer: i.issuer, Subject: a.Subject, ClientID: a.Client.ID, ID: newID(),
		Audience: a.Resources, Scope: a.Scope, APIKeyID: a.APIKeyID, GrantID: a.GrantID,
		Login: a.Login, Actor: a.Actor, From: a.From, Confirmation: a.Confirmation,
		IssuedAt: issuedAt, Expires: issuedAt.Add(a.Life.Truncate(time.Second)),
	}
	if claims.Subject == "" {
		claims.Subject = a.Client.ID // RFC 9068 §2.2
	}
	buf := encodeBuffers.Get().(*[]byte)
	defer encodeBuffers.Put(buf)
	*buf = claims.appendJSON((*buf)[:0])
	raw, err := signer.Sign(oauth.TypAccessToken, *buf)
	if err != nil {
		return Issued{}, fmt.Errorf("issue token: %w", err)
	}
	return Issued{Token: raw, Claims: claims}, nil
}

func newID() string {
	var random [jtiBytes]byte
	_, _ = rand.Read(random[:]) // never fails, crypto/rand
	return base64.RawURLEncoding.EncodeToString(random[:])
}

var encodeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// appendJSON writes the claims as a JSON object (RFC 9068 §2.2). By hand,
// because encoding/json costs more than everything else here but the signature.
func (c *Claims) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"iss":`...), c.Issuer)
	b = appendString(append(b, `,"sub":`...), c.Subject)
	b = appendString(append(b, `,"client_id":`...), c.ClientID)
	b = append(b, `,"aud":`...)
	if len(c.Audience) == 1 {
		b = appendString(b, c.Audience[0])
	} else {
		for i, aud := range c.Audience {
			b = appendString(append(b, "[,"[min(i, 1)]), aud)
		}
		b = append(b, ']')
	}
	b = strconv.AppendInt(append(b, `,"iat":`...), c.IssuedAt.Unix(), 10)
	b = strconv.AppendInt(append(b, `,"exp":`...), c.Expires.Unix(), 10)
	b = appendString(append(b, `,"jti":`...), c.ID)
	if len(c.Scope) > 0 {
		b = append(b, `,"scope":"`...)
		for i, name := range c.Scope {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendEscaped(b, name)
		}
		b = append(b, '"')
	}
	if c.APIKeyID != "" {
		b = appendString(append(b, `,"offkey_apikey":`...), c.APIKeyID)
	}
	if c.GrantID != "" {
		b = appendString(append(b, `,"offkey_grant":`...), c.GrantID)
	}
	if c.From != "" {
		b = appendString(append(b, `,"offkey_from":`...), c.From)
	}
	b = c.Login.appendJSON(b)
	if c.Actor != nil {
		b = c.Actor.appendJSON(append(b, `,"act":`...))
	}
	switch {
	case c.JKT != "":
		b = append(appendString(append(b, `,"cnf":{"jkt":`...), c.JKT), '}')
	case c.X5TS256 != "":
		b = append(appendString(append(b, `,"cnf":{"x5t#S256":`...), c.X5TS256), '}')
	}
	return append(b, '}')
}

// appendJSON writes what RFC 9068 §2.2.1 has for a token in which a person is
// involved, each with a comma before it.
func (l *Login) appendJSON(b []byte) []byte {
	if l.PersonID == "" {
		return b
	}
	if !l.Pairwise { // OIDC Core §17.3: the client could tell from it who that is elsewhere
		b = appendString(append(b, `,"offkey_person":`...), l.PersonID)
	}
	if l.Session != "" && !l.Pairwise {
		b = appendString(append(b, `,"sid":`...), l.Session)
	}
	if !l.AuthTime.IsZero() {
		b = strconv.AppendInt(append(b, `,"auth_time":`...), l.AuthTime.Unix(), 10)
	}
	if l.ACR != "" {
		b = appendString(append(b, `,"acr":`...), l.ACR)
	}
	if len(l.AMR) > 0 {
		b = append(b, `,"amr":`...)
		for i, method := range l.AMR {
			b = appendString(append(b, "[,"[min(i, 1)]), method)
		}
		b = append(b, ']')
	}
	return b
}

func (a *Actor) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"sub":`...), a.Subject)
	if a.Actor != nil {
		b = a.Actor.appendJSON(append(b, `,"act":`...))
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	return append(appendEscaped(append(b, '"'), s), '"')
}

// appendEscaped writes s as it stands inside a JSON string (RFC 8259 §7). What
// is not UTF-8 becomes the replacement character.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		i++
	}
	return b
}
