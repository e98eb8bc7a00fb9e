// Package snippet holds the lines by which a program gets its tokens as a client
// instead of sending an apikey: for each language the ones that its callers'
// usual library needs, with the settings that make it send the issuer as the
// audience and a new jti each time. They are shown by the command line and by
// the caller's page.
package snippet

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

//go:embed lines/*.txt
var lines embed.FS

// Languages are those that there are lines for, the usual ones first.
var Languages = []string{"python", "node", "go", "java", "dotnet", "curl"}

// Values are what the lines name.
type Values struct {
	ClientID, Issuer, TokenURL, API, Resource, Scope, KeyFile, KeyID, Alg string
	// Dir is the folder of the client: its key and client.json.
	Dir string
	// Loopback marks an issuer on this machine without TLS, which libraries
	// have to be told to accept.
	Loopback bool
}

// For fills in the lines of a language. Every value is quoted: some come from a
// server, and a quote in one must not become code.
func For(language string, v Values) (string, error) {
	if !slices.Contains(Languages, language) {
		return "", fmt.Errorf("there are no lines for the language %q: use %s", language, strings.Join(Languages, ", "))
	}
	name := language + ".txt"
	parsed, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"q": quote, "sh": ShellQuote}).ParseFS(lines, "lines/"+name)
	if err != nil {
		return "", fmt.Errorf("read the lines for %s: %w", language, err)
	}
	var b strings.Builder
	v.API = strings.TrimSuffix(v.API, "/")
	if err := parsed.Execute(&b, v); err != nil {
		return "", fmt.Errorf("fill in the lines for %s: %w", language, err)
	}
	return b.String(), nil
}

// quote writes a string literal that Go, JavaScript, Python, Java and C# read
// alike: all of them take JSON's escapes.
func quote(s string) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(s)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// ShellQuote makes s one word for a POSIX shell.
func ShellQuote(s string) string {
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/")
	if s != "" && plain == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
