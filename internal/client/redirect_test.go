package client

import (
	"net/url"
	"strings"
	"testing"
)

func TestChecklist37and38(t *testing.T) {
	const registered = "https://client.example/cb?a=b"
	for _, tt := range []struct {
		name, registered, sent string
		want                   bool
	}{
		{"checklist_37 the same", registered, registered, true},
		{"checklist_37 another query", registered, "https://client.example/cb?a=c", false},
		{"checklist_37 more query", registered, registered + "&c=d", false},
		{"checklist_37 no query", registered, "https://client.example/cb", false},
		{"checklist_37 a prefix of it", registered, registered[:len(registered)-1], false},
		{"checklist_37 another letter case", registered, "https://CLIENT.example/cb?a=b", false},
		{"checklist_37 another spelling of the path", registered, "https://client.example/%63b?a=b", false},
		{"checklist_37 a dot segment", registered, "https://client.example/x/../cb?a=b", false},
		{"checklist_37 the port that is meant anyway", registered, "https://client.example:443/cb?a=b", false},
		{"checklist_37 a user before the host", registered, "https://client.example@evil.example/cb?a=b", false},
		{"checklist_37 a fragment", registered, registered + "#x", false},
		{"checklist_37 another scheme", registered, "http://client.example/cb?a=b", false},
		{"checklist_38 a loopback port may vary", "http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true},
		{"checklist_38 also where one was registered", "http://127.0.0.1:8080/cb", "http://127.0.0.1:51004/cb", true},
		{"checklist_38 also that of IPv6", "http://[::1]:1/cb", "http://[::1]:2/cb", true},
		{"checklist_38 also that of localhost", "http://localhost/cb", "http://localhost:3000/cb", true},
		{"checklist_38 its path may not", "http://127.0.0.1/cb", "http://127.0.0.1:51004/cb2", false},
		{"checklist_38 its query may not", "http://127.0.0.1/cb?a", "http://127.0.0.1:51004/cb?b", false},
		{"checklist_38 its name may not", "http://127.0.0.1/cb", "http://localhost:51004/cb", false},
		{"checklist_38 nor any other loopback address", "http://127.0.0.1/cb", "http://127.0.0.2:1/cb", false},
		{"checklist_38 https is compared as it stands", "https://127.0.0.1/cb", "https://127.0.0.1:1/cb", false},
		{"checklist_38 a host that begins like it", "http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb", false},
		{"checklist_38 a user that looks like it", "http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb", false},
		{"checklist_38 no port after the colon", "http://127.0.0.1/cb", "http://127.0.0.1:/cb", false},
		{"checklist_38 a port that is no number", "http://127.0.0.1/cb", "http://127.0.0.1:80a/cb", false},
		{"checklist_38 a host that is not loopback", "http://client.example/cb", "http://client.example:81/cb", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Client{Details: Details{RedirectURIs: []string{"https://other.example/", tt.registered}}}
			if got := c.RedirectsTo(tt.sent); got != tt.want {
				t.Errorf("%s for %s: %v", tt.sent, tt.registered, got)
			}
		})
	}
	if (&Client{Details: Details{RedirectURIs: []string{""}}}).RedirectsTo("") {
		t.Error("nowhere is somewhere")
	}
}

func FuzzSameRedirectURI(f *testing.F) {
	f.Add("http://127.0.0.1/cb", "http://127.0.0.1:1/cb")
	f.Add("http://localhost:1?x", "http://localhost:2?x")
	f.Add("https://a.example/cb", "https://a.example/cb")
	f.Fuzz(func(t *testing.T, registered, sent string) {
		if registered == sent || !SameRedirectURI(registered, sent) {
			return
		}
		if !SameRedirectURI(sent, registered) {
			t.Errorf("%q is the same as %q, and not the other way round", registered, sent)
		}
		a, err := url.Parse(registered)
		b, err2 := url.Parse(sent)
		if err != nil || err2 != nil { // the rest of it is byte for byte the same, so both are as broken
			return
		}
		if a.Hostname() != b.Hostname() || !strings.Contains("127.0.0.1 ::1 localhost", b.Hostname()) || a.Scheme != "http" || b.Scheme != "http" || b.User != nil {
			t.Errorf("%q passes for %q", sent, registered)
		}
	})
}
