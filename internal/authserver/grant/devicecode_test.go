package grant

import (
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

func TestADeviceProvesTheKeyThatItBeganWith(t *testing.T) {
	// checklist_91
	for _, tt := range []struct {
		name  string
		bound session.Binding
		have  token.Confirmation
		want  string
	}{
		{"the same DPoP key", session.Binding{JKT: "a"}, token.Confirmation{JKT: "a"}, ""},
		{"another DPoP key", session.Binding{JKT: "a"}, token.Confirmation{JKT: "b"}, "bound to the key"},
		{"none", session.Binding{JKT: "a"}, token.Confirmation{}, "bound to the key"},
		{"a certificate that has the key's name", session.Binding{JKT: "a"}, token.Confirmation{X5TS256: "a"}, "bound to the key"},
		{"the same certificate", session.Binding{X5TS256: "a"}, token.Confirmation{X5TS256: "a"}, ""},
		{"a key that comes later", session.Binding{}, token.Confirmation{JKT: "a"}, ""},
		{"none at all", session.Binding{}, token.Confirmation{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := checkDeviceKey(session.Device{Bound: tt.bound}, tt.have)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestATokenIsForWhatWasAllowedOrLess(t *testing.T) {
	// checklist_108
	allowed := []string{"https://a", "https://b"}
	for _, tt := range []struct{ requested, want string }{
		{"", "https://a https://b"}, {"https://b", "https://b"}, {"https://b https://b", "https://b"}, {"https://c", "!"}, {"https://a https://c", "!"}, {"https://a/", "!"},
	} {
		got, err := narrow(allowed, strings.Fields(tt.requested))
		if (err != nil) != (tt.want == "!") || err == nil && strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %v, %v", tt.requested, got, err)
		}
	}
}
