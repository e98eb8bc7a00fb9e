package main

import (
	"path/filepath"
	"strings"

	"github.com/offkey/offkey/internal/client/snippet"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

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

// linesToChange are those of a program in that language that is to be this
// client from now on.
func linesToChange(lang, api string, client *oauthclient.Client) (string, error) {
	return snippet.For(lang, snippet.Values{
		ClientID: client.ClientID, Issuer: client.Issuer, TokenURL: client.TokenURL, API: api, Resource: client.Resource,
		Scope: strings.Join(client.Scopes, " "), KeyFile: absolute(client.KeyPath()), KeyID: client.KeyID, Alg: client.Algorithm,
		Dir: absolute(client.Dir), Loopback: strings.HasPrefix(client.Issuer, "http:"),
	})
}
