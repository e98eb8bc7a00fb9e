package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

func TestATokenFallsWithTheAPIKeyItWasExchangedFor(t *testing.T) {
	w := newWorld(t, nil).serve()
	issued, err := w.ours.Issue(token.Authorization{
		Client: &client.Client{ID: "cl_1"}, Resources: []string{testResource}, Life: time.Hour, APIKeyID: "ak_1",
	})
	if err != nil {
		t.Fatal(err)
	}
	call := func() reply { return w.get("/v1/orders", "Authorization: Bearer "+issued.Token) }
	for _, stage := range []apikey.Stage{apikey.Observe, apikey.Warn, apikey.UpgradeOnly} {
		w.know("sk_live_good00000001", apikey.Key{ID: "ak_1", Stage: stage})
		if got := call(); got.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d: %s", stage, got.StatusCode, got.body)
		}
	}
	refused := func(why string) {
		t.Helper()
		got := call()
		if p := got.problem(t); got.StatusCode != http.StatusUnauthorized || p.Code != policy.CodeInvalidToken || !strings.Contains(p.Detail, "exchanged for an API key that is no longer accepted") {
			t.Errorf("%s: status %d, %+v", why, got.StatusCode, p)
		}
		if challenge := got.Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `error="invalid_token"`) {
			t.Errorf("%s: WWW-Authenticate %q", why, challenge)
		}
	}
	for _, stage := range []apikey.Stage{apikey.Retired, apikey.Blocked} {
		w.know("sk_live_good00000001", apikey.Key{ID: "ak_1", Stage: stage})
		refused(stage.String())
	}
	w.know("sk_live_good00000001", apikey.Key{ID: "ak_1", Suspended: true})
	refused("the API refuses it")
	w.index.Delete("ak_1")
	refused("deleted")
}

// A call is counted under the apikey that its token was exchanged for, so that a
// plan that ends the apikey knows of it.
func TestACallWithAnExchangedTokenIsCountedUnderItsAPIKey(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.know("sk_live_good00000001", apikey.Key{ID: "ak_1", Stage: apikey.Observe, ClientID: "cl_1"})
	issued, err := w.ours.Issue(token.Authorization{
		Client: &client.Client{ID: "cl_1"}, Resources: []string{testResource}, Life: time.Hour, APIKeyID: "ak_1",
	})
	if err != nil {
		t.Fatal(err)
	}
	w.get("/v1/orders", "Authorization: Bearer "+issued.Token)
	rows := w.rows()
	if len(rows) != 1 || rows[0].Credential != (traffic.Credential{Kind: traffic.KindClient, ID: "ak_1"}) {
		t.Errorf("counted as %+v", rows)
	}
}
