package signin_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/offkey/offkey/test/farside"
)

type authenticator = farside.Authenticator

func newAuthenticator(t testing.TB) *authenticator {
	t.Helper()
	return farside.NewAuthenticator(t, issuer)
}

var optionsOf = regexp.MustCompile(`data-passkey="(get|create)" data-options="([^"]*)"`)

// options are those of the passkey that a page asks for.
func (p page) options() string {
	p.t.Helper()
	m := optionsOf.FindStringSubmatch(p.body)
	if m == nil {
		p.t.Fatalf("no passkey is asked for at %s:\n%s", p.path, p.body)
	}
	return unescape.Replace(m[2])
}

// askedFor is what a page asks for.
type askedFor struct {
	PublicKey struct {
		Challenge        string `json:"challenge"`
		UserVerification string `json:"userVerification"`
		Allow            []any  `json:"allowCredentials"`
	} `json:"publicKey"`
}

func (p page) asked() (a askedFor) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.options()), &a); err != nil {
		p.t.Fatal(err)
	}
	return a
}
