package signin

import (
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/client/snippet"
	"github.com/offkey/offkey/internal/session"
)

// Upgrade is what the page for callers says of the API that they call.
type Upgrade struct {
	API      string // base URL, as callers have it
	Resource string // audience of its tokens
	TokenURL string
}

// What the script of the page puts in once it knows: the names stand in the
// lines to change, within quotes.
const (
	laterClientID = "%CLIENT_ID%"
	laterKeyID    = "%KEY_ID%"
	laterScope    = "%SCOPE%"
	clientFolder  = "offkey-client" // that the downloaded files go to
)

// upgradeView is the page on which a caller trades an apikey for a client. The
// key pair is made by the browser and its private half never leaves it.
type upgradeView struct {
	view
	Upgrade
	Issuer  string
	Command string
	Lines   []linesOf
}

type linesOf struct{ Language, Name, Text string }

var languageNames = map[string]string{
	"python": "Python", "node": "Node.js", "go": "Go", "java": "Java", "dotnet": ".NET", "curl": "curl",
}

// showUpgrade shows the page. There is no form to send: the apikey goes into one
// header each of two requests of the script, and into no page, log or history.
func showUpgrade(v visit) error {
	u := *v.s.options.Upgrade
	data := upgradeView{view: v.view("upgrade.title", session.Request{}), Upgrade: u, Issuer: v.s.options.Issuer}
	data.Wide = true
	data.Command = "offkey upgrade --api " + snippet.ShellQuote(u.API) + " --apikey-stdin"
	for _, language := range snippet.Languages {
		text, err := snippet.For(language, snippet.Values{
			ClientID: laterClientID, KeyID: laterKeyID, Scope: laterScope, Alg: "ES256", KeyFile: clientFolder + "/key.pem", Dir: clientFolder,
			Issuer: v.s.options.Issuer, TokenURL: u.TokenURL, API: u.API, Resource: u.Resource, Loopback: strings.HasPrefix(u.TokenURL, "http:"),
		})
		if err != nil {
			return err
		}
		data.Lines = append(data.Lines, linesOf{language, languageNames[language], text})
	}
	v.w.Header().Set("Content-Security-Policy", basePolicy+"; connect-src 'self'")
	return v.s.show(v.w, http.StatusOK, "upgrade", data)
}
