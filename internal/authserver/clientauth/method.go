package clientauth

import (
	"strings"

	"github.com/offkey/offkey/internal/oauth"
)

// Offered reports whether a request tries to prove a client at all. A client_id
// alone does not, a certificate does beside one.
func Offered(r Request) bool {
	return len(r.Authorization) > 0 || r.Form.Has("client_secret") || offersAssertion(r.Form) ||
		len(r.Certificates) > 0 && r.Form.Has("client_id")
}

// read finds the one method that a request uses. federated says whether tokens
// of other issuers are taken.
func read(r Request, federated bool) (attempt, error) {
	if err := checkOneMethod(r); err != nil {
		return nil, err
	}
	switch {
	case len(r.Authorization) > 0:
		return readBasic(r.Authorization[0], r.Form)
	case offersAssertion(r.Form):
		return readAssertion(r, federated)
	case r.Form.Has("client_secret"):
		return readPost(r.Form)
	case len(r.Certificates) > 0:
		return readTLS(r)
	}
	return readPublic(r.Form)
}

func offersAssertion(form oauth.Params) bool {
	return form.Has("client_assertion") || form.Has("client_assertion_type")
}

// checkOneMethod refuses a request that proves its client in two ways, since
// either could be the wrong one (RFC 6749 §2.3). A certificate is no second way:
// its tokens may be bound to it whatever the method (RFC 8705 §3), and a client
// that is registered for it cannot prove itself otherwise.
func checkOneMethod(r Request) error {
	var offered []string
	for range r.Authorization {
		offered = append(offered, "an Authorization header")
	}
	if r.Form.Has("client_secret") {
		offered = append(offered, "client_secret in the body")
	}
	if offersAssertion(r.Form) {
		offered = append(offered, "client_assertion in the body")
	}
	if len(offered) < 2 {
		return nil
	}
	return &failure{cause: CauseTwoMethods, answer: oauth.InvalidRequest(
		"more than one client authentication method in one request: " + strings.Join(offered, " and ") +
			". Send one. Some libraries add an empty Basic header of their own: golang.org/x/oauth2 does unless AuthStyle is AuthStyleInParams")}
}

// checkSameClient holds a client_id in the body against the one that the
// request proves (RFC 6749 §3.2.1). It may be left out.
func checkSameClient(form oauth.Params, id string) error {
	if sent := form.Value("client_id"); sent != "" && sent != id {
		return &failure{cause: CauseMalformed, answer: oauth.InvalidRequest("client_id in the body is another client than the one that the request authenticates")}
	}
	return nil
}
