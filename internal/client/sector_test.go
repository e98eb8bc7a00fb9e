package client

import "testing"

func TestSector(t *testing.T) {
	for name, tt := range map[string]struct {
		identifier string
		redirects  []string
		want       string
	}{
		"one host":                      {"", []string{"https://a.example/1", "https://a.example:8443/2"}, "a.example"},
		"the one that was registered":   {"b.example", []string{"https://a.example/1", "https://c.example/2"}, "b.example"},
		"two hosts":                     {"", []string{"https://a.example/1", "https://c.example/2"}, "client:cl_1"},
		"no host":                       {"", []string{"com.example.app:/cb"}, "client:cl_1"},
		"nothing":                       {"", nil, "client:cl_1"},
		"this machine, which all share": {"", []string{"http://127.0.0.1/cb"}, "client:cl_1"},
		"this machine by IPv6":          {"", []string{"http://[::1]/cb"}, "client:cl_1"},
		"this machine by name":          {"", []string{"http://localhost/cb"}, "client:cl_1"},
	} {
		c := Client{ID: "cl_1", Details: Details{SectorIdentifier: tt.identifier, RedirectURIs: tt.redirects}}
		if got := c.Sector(); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
