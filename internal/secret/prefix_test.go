package secret

import (
	"strings"
	"testing"
)

func TestAPrefixSaysTheKindAndNoMore(t *testing.T) {
	tail := strings.Repeat("x9", 12)
	for value, want := range map[string]string{
		"sk_live_" + tail: "sk_live_", "pat-" + tail: "pat-", tail: "", "_" + tail: "", "AKIA" + tail: "",
		"550e8400-e29b-41d4-a716-446655440000": "",                                  // hexadecimal is no word
		"acme_0123456789abcdef":                "acme_", "acme_0123456789abcde": "", // too little would be left
		"onelongwordwithoutend_" + tail: "", "a__" + tail: "a_", "": "", "sk_": "",
	} {
		if got := Prefix(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
