package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// CertificateThumbprint is x5t#S256: the base64url SHA-256 of a certificate in
// DER, without padding (RFC 8705 §3.1).
func CertificateThumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// The bounds of what a proxy says about a client certificate.
const (
	maxForwarded    = 64 << 10 // bytes of a header
	maxCertificates = 10       // of a chain
)

// ForwardedCertificates reads the certificate that a proxy, which ended the TLS
// of the caller, passes on in the header of that name: in DER, the caller's
// first, then those that come with it. There is none without the header. Which
// of the three forms in use it is shows at its first bytes:
//
//   - RFC 9440 §2.1, `Client-Cert: :MIIB…:`; the rest of the chain is then in the
//     header of that name with `-Chain` behind it;
//   - PEM as a URL escapes it, nginx's $ssl_client_escaped_cert;
//   - Envoy's X-Forwarded-Client-Cert, `Hash=…;Cert="…";Chain="…"`.
//
// Only from a proxy that removes what callers send under that name may it be
// believed: whether that is so is for the caller to know.
func ForwardedCertificates(h http.Header, name string) (ders [][]byte, err error) {
	lines := h[http.CanonicalHeaderKey(name)]
	if len(lines) == 0 || len(lines) == 1 && strings.TrimSpace(lines[0]) == "" {
		return nil, nil // proxies send an empty one for a caller without certificate
	}
	if len(lines) > 1 {
		return nil, fmt.Errorf("the header %s was sent %d times", name, len(lines))
	}
	value := strings.TrimSpace(lines[0])
	switch {
	case len(value) > maxForwarded:
		return nil, fmt.Errorf("the header %s is longer than %d bytes", name, maxForwarded)
	case value[0] == ':':
		ders, err = byteSequences(value, strings.Join(h[http.CanonicalHeaderKey(name+"-Chain")], ", "))
	case strings.HasPrefix(value, "-----BEGIN"):
		ders, err = escapedPEM(value)
	default:
		ders, err = envoyCertificate(value)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("the header %s: %w", name, err)
	case len(ders) > maxCertificates:
		return nil, fmt.Errorf("the header %s: %d certificates, at most %d are read", name, len(ders), maxCertificates)
	}
	return ders, nil
}

// byteSequences reads RFC 9440 §2.2 and §2.3: one byte sequence, and a list of
// them (RFC 8941 §3.3.5).
func byteSequences(leaf, chain string) (ders [][]byte, err error) {
	if len(chain) > maxForwarded {
		return nil, errors.New("the chain is too long")
	}
	items := []string{leaf}
	if chain != "" {
		items = append(items, strings.Split(chain, ",")...)
	}
	for _, item := range items {
		item = strings.TrimSpace(item)
		if len(item) < 3 || item[0] != ':' || item[len(item)-1] != ':' {
			return nil, errors.New("no byte sequence as RFC 9440 has it")
		}
		der, err := base64.StdEncoding.DecodeString(item[1 : len(item)-1])
		if err != nil {
			return nil, errors.New("no byte sequence as RFC 9440 has it")
		}
		ders = append(ders, der)
	}
	return ders, nil
}

// escapedPEM reads one or more certificates in PEM, escaped for a URL. A plus is
// a plus: nginx escapes spaces as %20.
func escapedPEM(value string) (ders [][]byte, err error) {
	text, err := url.PathUnescape(value)
	if err != nil {
		return nil, errors.New("the escapes are wrong")
	}
	rest := []byte(text)
	for len(strings.TrimSpace(string(rest))) > 0 {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("no certificate in PEM")
		}
		ders, rest = append(ders, block.Bytes), after
	}
	return ders, nil
}

// envoyCertificate reads one element of X-Forwarded-Client-Cert. Several would
// be those of several hops, and which of them is the caller's cannot be told:
// have the proxy set the header, not append to it.
func envoyCertificate(value string) (ders [][]byte, err error) {
	var cert, chain string
	for rest := value; rest != ""; {
		name, after, found := strings.Cut(rest, "=")
		if !found {
			return nil, errors.New("no element of X-Forwarded-Client-Cert")
		}
		var content string
		if content, rest, err = envoyValue(after); err != nil {
			return nil, err
		}
		switch strings.ToLower(name) {
		case "cert":
			cert = content
		case "chain":
			chain = content
		}
	}
	switch {
	case chain != "":
		return escapedPEM(chain) // it begins with the caller's
	case cert != "":
		return escapedPEM(cert)
	}
	return nil, errors.New("X-Forwarded-Client-Cert has neither Cert nor Chain: have the proxy set them")
}

// envoyValue cuts a value, in quotes or not, from what follows its semicolon.
func envoyValue(s string) (value, rest string, err error) {
	var b strings.Builder
	quoted := strings.HasPrefix(s, `"`)
	if quoted {
		s = s[1:]
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case quoted && c == '"':
			if rest = s[i+1:]; rest != "" && rest[0] != ';' {
				return "", "", errSeveral
			}
			return b.String(), strings.TrimPrefix(rest, ";"), nil
		case !quoted && c == ';':
			return b.String(), s[i+1:], nil
		case !quoted && c == ',':
			return "", "", errSeveral
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("a quotation mark is missing")
	}
	return b.String(), "", nil
}

var errSeveral = errors.New("X-Forwarded-Client-Cert has several elements: have the proxy set the header, not append to it")
