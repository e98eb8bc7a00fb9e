package apikey

import (
	"strings"
	"testing"
)

func TestParseCarrier(t *testing.T) {
	for in, want := range map[string]Carrier{
		"header:X-API-Key":       {Kind: InHeader, Name: "X-API-Key"},
		"header:apikey":          {Kind: InHeader, Name: "apikey"},
		"header:Authorization":   {Kind: InHeader, Name: "Authorization"},
		"authorization:KEY":      {Kind: InAuthorization, Name: "KEY"},
		"authorization:Bearer":   {Kind: InAuthorization, Name: "Bearer"},
		"query:api_key":          {Kind: InQuery, Name: "api_key"},
		"query:a:b":              {Kind: InQuery, Name: "a:b"},
		"cookie:apikey":          {Kind: InCookie, Name: "apikey"},
		"basic":                  {Kind: InBasic},
		" Header : X-API-Key ":   {Kind: InHeader, Name: "X-API-Key"},
		"AUTHORIZATION:GenieKey": {Kind: InAuthorization, Name: "GenieKey"},
	} {
		got, err := ParseCarrier(in)
		if err != nil || got != want {
			t.Errorf("ParseCarrier(%q) = %+v, %v; want %+v", in, got, err, want)
		}
		if again, err := ParseCarrier(got.String()); err != nil || again != got {
			t.Errorf("%q printed as %q reads back as %+v, %v", in, got, again, err)
		}
	}
}

func TestParseCarrierRefuses(t *testing.T) {
	for in, says := range map[string]string{
		"":                         "write header:X-API-Key, authorization:KEY, query:api_key, cookie:apikey or basic",
		"X-API-Key":                `"X-API-Key" is no place for an apikey: write header:X-API-Key`,
		"body:key":                 `"body:key" is no place for an apikey`,
		"header:":                  "lacks the name",
		"authorization":            "lacks the name",
		"query:":                   "lacks the name",
		"header:X API Key":         "RFC 9110 §5.6.2",
		"header:Cookie":            "as in cookie:apikey",
		"header:host":              "meaning of its own",
		"header:DPoP":              "meaning of its own",
		"header:Transfer-Encoding": "meaning of its own",
		"authorization:Basic":      "write basic",
		"authorization:dpop":       "access tokens only",
		"authorization:a b":        "RFC 9110 §5.6.2",
		"cookie:a;b":               "RFC 9110 §5.6.2",
		"query:a\x00b":             "control character",
		"basic:user":               "basic takes no name",
		"query:" + strings.Repeat("a", maxCarrierName+1): "at most 128",
	} {
		if _, err := ParseCarrier(in); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("ParseCarrier(%q) says %v, want %q", in, err, says)
		}
	}
}

func TestNewReaderRefuses(t *testing.T) {
	key := Carrier{Kind: InAuthorization, Name: "KEY"}
	for says, carriers := range map[string][]Carrier{
		"in one place twice: authorization:KEY and authorization:Key": {key, {Kind: InAuthorization, Name: "Key"}},
		"header:X-API-Key and header:x-api-key":                       {{Kind: InHeader, Name: "X-API-Key"}, {Kind: InHeader, Name: "x-api-key"}},
		"is no place":                                                 {{}},
		"in 33 places, at most 32 can be":                             make([]Carrier, MaxCarriers+1),
	} {
		if _, err := NewReader(carriers); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("NewReader(%v) says %v, want %q", carriers, err, says)
		}
	}
	if _, err := NewReader([]Carrier{{Kind: InQuery, Name: "key"}, {Kind: InQuery, Name: "KEY"}}); err != nil {
		t.Errorf("parameters have case: %v", err)
	}
}
