package oauth

import "testing"

func TestWhatIsThisMachine(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true, "LocalHost": true,
		"": false, "192.0.2.1": false, "::": false, "0.0.0.0": false, "localhost.example": false, "127.0.0.1:80": false, "[::1]": false,
	} {
		if IsLoopback(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

func TestWhereAURILeads(t *testing.T) {
	for uri, want := range map[string]string{
		"https://shop.example/cb": "shop.example", "http://127.0.0.1:9000/": "127.0.0.1:9000", "com.example.app:/cb": "com.example.app:", "http://[::1": "",
	} {
		if got := HostOf(uri); got != want {
			t.Errorf("%s leads to %q, want %q", uri, got, want)
		}
	}
}
