package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// managementPath is where the management API is, on the socket and on the
	// admin listener.
	managementPath = "/api/v1"
	// operatorClient is the client that every offkey has for this command line.
	operatorClient = "offkey-cli"
	// operatorFolder is where the sign-in of an operator is, beside that of a
	// caller.
	operatorFolder = "operator"
)

// remote is an offkey on another machine, and who asks it: the person who signed
// in with `offkey login --server`.
type remote struct {
	url   string
	dir   string
	error error // of the folder; said at the first request
}

func connectRemote(url string) *operator {
	r := &remote{url: strings.TrimSuffix(url, "/")}
	dir, err := identityFlags{Dir: os.Getenv("OFFKEY_DIR")}.folder()
	r.dir, r.error = filepath.Join(dir, operatorFolder), err
	return &operator{http: &http.Client{
		Timeout:       3 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a token goes where it was meant for
	}, remote: r}
}

// authorize puts the token of the sign-in into a request, renewed where it is
// about to end.
func (r *remote) authorize(ctx context.Context, req *http.Request) error {
	if r.error != nil {
		return r.error
	}
	l, err := readLogin(r.dir)
	if err != nil {
		return err
	}
	if l == nil || l.Resource != r.url+managementPath {
		return &failure{exit: exitSignIn, code: "sign_in", message: "nobody is signed in to the offkey at " + r.url, fix: "run `offkey login --server " + shellQuote(r.url) + "`"}
	}
	config, err := l.config(r.dir)
	if err != nil {
		return err
	}
	t := &terminal{Now: time.Now, Err: os.Stderr}
	token, _, _, err := loginSource{dir: r.dir, cache: newTokenCache(t, r.dir), own: true}.token(ctx, config, false)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return nil
}
