package oauth

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxBasicBytes bounds the Authorization header.
const maxBasicBytes = 4 << 10

// ParseBasic reads the client's id and password from an Authorization header of
// scheme Basic, whose name is compared without letter case. Both halves are
// form-urlencoded before they are joined (RFC 6749 §2.3.1), so that an id may
// hold a colon; both are decoded here.
//
// Many clients leave the encoding out. A half that cannot be decoded, because
// "%" is not followed by two hex digits or the result is not UTF-8, is therefore
// taken as it stands. Nothing else is guessed: "+" is a space and "%41" is "A",
// for a second guess would let one password have two spellings. What offkey
// generates reads the same in both forms. The error is invalid_client and
// holds nothing of the header.
func ParseBasic(header string) (id, password string, err error) {
	scheme, encoded, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Basic") {
		return "", "", basicError("the Authorization header is not of scheme Basic")
	}
	if len(header) > maxBasicBytes {
		return "", "", basicError("the Authorization header is longer than 4096 characters")
	}
	encoded = strings.Trim(encoded, " ")
	if strings.ContainsAny(encoded, "\r\n") { // the decoder would skip them
		return "", "", basicError("the Authorization header is not base64 after Basic")
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", "", basicError("the Authorization header is not base64 after Basic")
	}
	rawID, rawPassword, ok := strings.Cut(string(raw), ":")
	if !ok {
		return "", "", basicError("the Authorization header lacks the colon between client id and secret")
	}
	if id = formDecode(rawID); id == "" {
		return "", "", basicError("the Authorization header lacks the client id")
	}
	return id, formDecode(rawPassword), nil
}

// formDecode returns s itself where it is not form-urlencoded.
func formDecode(s string) string {
	decoded, err := url.QueryUnescape(s)
	if err != nil || !utf8.ValidString(decoded) {
		return s
	}
	return decoded
}

// basicError is answered with the scheme that was tried (RFC 6749 §5.2).
func basicError(description string) error { return InvalidClient(description).WithScheme("Basic") }

// FormatBasic writes the header that ParseBasic reads.
func FormatBasic(id, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(password)))
}

// IsBearerToken68 reports whether s has the syntax of a bearer token, b64token
// (RFC 6750 §2.1): letters, digits, "-._~+/", then any number of "=".
func IsBearerToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		if c := body[i]; !isAlphanumeric(c) && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return body != ""
}
