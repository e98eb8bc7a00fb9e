package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// snippets holds, per language, the lines of a program to change. They use the
// library that its callers have, with the settings that make it send the issuer
// as the audience and a new jti each time.
//
//go:embed snippets/*.txt
var snippets embed.FS

// languageOf tells a program's language by a file beside it.
var languageOf = []struct{ pattern, lang string }{
	{"go.mod", "go"}, {"package.json", "node"}, {"pyproject.toml", "python"}, {"requirements.txt", "python"},
	{"pom.xml", "java"}, {"build.gradle", "java"}, {"build.gradle.kts", "java"}, {"*.csproj", "dotnet"}, {"*.sln", "dotnet"},
}

// languageHere guesses the language of the program in this folder.
func languageHere() string {
	for _, l := range languageOf {
		if found, err := filepath.Glob(l.pattern); err == nil && len(found) > 0 {
			return l.lang
		}
	}
	return "curl"
}

// values are what a snippet can name.
type values struct {
	ClientID, Issuer, TokenURL, API, Resource, Scope, KeyFile, KeyID, Alg, Dir string
	// Loopback marks an issuer on this machine without TLS, which libraries
	// have to be told to accept.
	Loopback bool
}

// snippet fills in the lines for a language. Every value is quoted: some come
// from a server, and a quote in one must not become code.
func snippet(lang, api string, client *oauthclient.Client) (string, error) {
	name := lang + ".txt"
	parsed, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{"q": quote, "sh": shellQuote}).ParseFS(snippets, "snippets/"+name)
	if err != nil {
		return "", wrongUsage(fmt.Sprintf("there are no lines for the language %q", lang), "use go, node, python, java, dotnet or curl")
	}
	var b strings.Builder
	if err := parsed.Execute(&b, values{
		ClientID: client.ClientID, Issuer: client.Issuer, TokenURL: client.TokenURL, API: strings.TrimSuffix(api, "/"), Resource: client.Resource,
		Scope: strings.Join(client.Scopes, " "), KeyFile: absolute(client.KeyPath()), KeyID: client.KeyID, Alg: client.Algorithm,
		Dir: absolute(client.Dir), Loopback: strings.HasPrefix(client.Issuer, "http:"),
	}); err != nil {
		return "", fmt.Errorf("fill in the lines for %s: %w", lang, err)
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
