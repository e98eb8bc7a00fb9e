package migration

import (
	"strings"
	"testing"
)

func TestProgramOf(t *testing.T) {
	tests := []struct {
		userAgent, program string
		browser            bool
	}{
		{"python-requests/2.32.3", "python-requests", false},
		{"curl/8.7.1", "curl", false},
		{"Go-http-client/1.1", "Go-http-client", false},
		{"okhttp/4.12.0", "okhttp", false},
		{"Java/17.0.9", "Java", false},
		{"axios/1.7.2", "axios", false},
		{"aiohttp/3.9.5 Python/3.12 aiohttp/3.9.5", "aiohttp", false},
		{"PostmanRuntime/7.39.0", "PostmanRuntime", false},
		{"GuzzleHttp/7", "GuzzleHttp", false},
		{"Boto3/1.34 md/Botocore#1.34 ua/2.0 os/linux", "Boto3", false},
		{"acme-sync", "acme-sync", false},
		{"Acme Sync/1.2 (linux; amd64)", "Acme Sync", false},
		{"curl 8.7", "curl", false},
		{"My App v2.1 build 7", "My App", false},
		{"AcmeApp (ops@example.com)", "AcmeApp", false},
		{"  spaced/1 ", "spaced", false},
		{"", "unknown", false},
		{"/1.0", "unknown", false},
		{"(just a comment)", "unknown", false},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox", true},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome", true},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", "Edge", true},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", "Safari", true},
		{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", false},
		{"Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.4522", "WindowsPowerShell", false},
		{"Mozilla/4.0", "Mozilla", false},
		{"Mozilla/5.0 (unclosed", "Mozilla", false},
		{"bad\x1b[2Jname/1", "bad?[2Jname", false}, // G-24
		{strings.Repeat("x", 300), strings.Repeat("x", maxProgram), false},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) {
			if got := ProgramOf(tt.userAgent); got != tt.program {
				t.Errorf("%q is %q, want %q", tt.userAgent, got, tt.program)
			}
			if got := isBrowser(tt.userAgent); got != tt.browser {
				t.Errorf("%q is a browser: %v", tt.userAgent, got)
			}
		})
	}
}

func FuzzProgramOf(f *testing.F) {
	for _, s := range []string{"curl/8.7", "Mozilla/5.0 (compatible; x", "Mozilla/5.0 () ", "v1 v2", "\xff/\x00", "Mozilla/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, userAgent string) {
		name := ProgramOf(userAgent)
		if name == "" || len([]rune(name)) > maxProgram || strings.ContainsAny(name, "\x00\n\r\x1b") {
			t.Fatalf("%q is %q", userAgent, name)
		}
	})
}
