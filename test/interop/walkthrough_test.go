package interop

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/binary"
	"github.com/offkey/offkey/test/farside"
)

// What a caller tries before it trusts its own set-up: that it works, and that
// each thing that can be wrong is told apart from the others.

// as are the flags of a client of this offkey.
func (w world) as(client identity, args ...string) []string {
	return append(args, "--issuer", w.Issuer, "--client", client.ID, "--keyfile", client.file, "--resource", w.Gateway, "--dir", w.dir)
}

// fails runs a command that must end with 1 and, on stderr, one JSON object with
// that code whose texts name each of words.
func fails(t *testing.T, code string, words []string, args ...string) {
	t.Helper()
	said := binary.Run(t, nil, append(args, "--json")...)
	var told struct {
		Error struct{ Code, Message, Fix string }
	}
	if err := json.Unmarshal([]byte(said.Err), &told); err != nil || said.Code != 1 {
		t.Fatalf("exit %d, stderr %q (%v)", said.Code, said.Err, err)
	}
	if told.Error.Code != code || told.Error.Fix == "" {
		t.Errorf("code %q instead of %q, fix %q", told.Error.Code, code, told.Error.Fix)
	}
	for _, word := range words {
		if !strings.Contains(told.Error.Message+" "+told.Error.Fix, word) {
			t.Errorf("the text does not name %q: %s", word, said.Err)
		}
	}
}

func TestACallersOwnTestsHappyPath(t *testing.T) {
	w := newWorld(t)
	client := w.withKey(t, "ES256")
	said := binary.Run(t, nil, w.as(client, "call", "GET", w.Gateway+"/v1/orders", "--scope", "read:orders")...)
	if said.Code != 0 || said.Out != "GET /v1/orders for "+client.ID {
		t.Errorf("exit %d, %q, %s", said.Code, said.Out, said.Err)
	}
	for format, want := range map[string]string{"header": "Authorization: Bearer ey", "env": "export OFFKEY_ACCESS_TOKEN=", "exec": `"version": 1`} {
		said := binary.Run(t, nil, w.as(client, "token", "--scope", "read:orders", "--format", format)...)
		if said.Code != 0 || !strings.Contains(said.Out, want) {
			t.Errorf("--format %s: exit %d, %q", format, said.Code, said.Out)
		}
	}
}

func TestACallersOwnTestsWrongScope(t *testing.T) {
	w := newWorld(t)
	client := w.withKey(t, "ES256")
	t.Run("one that the client does not have is not granted", func(t *testing.T) {
		fails(t, "invalid_scope", []string{"delete:orders", "read:orders"}, w.as(client, "token", "--scope", "delete:orders")...)
	})
	t.Run("one that the token does not have does not open the route", func(t *testing.T) {
		fails(t, "insufficient_scope", []string{"create:orders", "--scope"}, w.as(client, "call", "POST", w.Gateway+"/v1/orders", "--scope", "read:orders")...)
	})
	t.Run("no scope opens nothing", func(t *testing.T) {
		fails(t, "insufficient_scope", []string{"read:orders"}, w.as(client, "call", "GET", w.Gateway+"/v1/orders", "--scope", "")...)
	})
}

func TestACallersOwnTestsWrongKey(t *testing.T) {
	w := newWorld(t)
	client, other := w.withKey(t, "ES256"), w.withKey(t, "EdDSA")
	client.file = other.file
	fails(t, "invalid_client", []string{client.ID, other.KeyID}, w.as(client, "token", "--scope", "read:orders")...)
	client.ID = "cl_nobody"
	fails(t, "invalid_client", []string{"cl_nobody"}, w.as(client, "token", "--scope", "read:orders")...)
}

func TestACallersOwnTestsExpiredToken(t *testing.T) {
	w := newWorld(t, "OFFKEY_TOKENS_ACCESS_TTL=1s")
	client := w.withKey(t, "ES256")
	said := binary.Run(t, nil, w.as(client, "token", "--scope", "read:orders")...)
	if said.Code != 0 {
		t.Fatal(said.Err)
	}
	token := strings.TrimSpace(said.Out)
	for end := time.Now().Add(20 * time.Second); ; {
		status, challenge := w.use(t, token)
		if status == http.StatusUnauthorized {
			if !strings.Contains(challenge, `error="invalid_token"`) || !strings.Contains(challenge, "expired") {
				t.Errorf("refused with %s", challenge)
			}
			break
		}
		if status != http.StatusOK || time.Now().After(end) {
			t.Fatalf("a token of one second is answered %d", status)
		}
	}
	said = binary.Run(t, nil, w.as(client, "call", "GET", w.Gateway+"/v1/orders", "--scope", "read:orders")...)
	if said.Code != 0 {
		t.Errorf("offkey call did not renew the token: exit %d, %s", said.Code, said.Err)
	}
}

// use makes a call with a token.
func (w world) use(t *testing.T, token string) (status int, challenge string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.Gateway+"/v1/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate")
}

func TestACallersOwnTestsClockOff(t *testing.T) {
	t.Run("a caller that is fast or slow is told so by the SDK", func(t *testing.T) {
		w := newWorld(t)
		client := w.withKey(t, "ES256")
		for word, off := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
			config := oauthclient.Config{
				Issuer: w.Issuer, ClientID: client.ID, KeyFile: client.file, Scopes: []string{"read:orders"},
				Now: func() time.Time { return time.Now().Add(off) },
			}
			_, err := config.NewToken(t.Context())
			var told *oauthclient.Error
			if !errors.As(err, &told) || told.Code != "clock_off" || !strings.Contains(told.Message, "clock is ") || !strings.Contains(told.Message, word) {
				t.Errorf("%s: %v", word, err)
			}
		}
	})
	t.Run("the command says so against an issuer whose clock differs", func(t *testing.T) {
		far := farside.New(t)
		far.With(func(s *farside.State) { s.Clock = func() time.Time { return time.Now().Add(-10 * time.Minute) } })
		dir := t.TempDir()
		var keys json.RawMessage
		binary.JSON(t, &keys, "keygen", "--out", dir+"/key.pem")
		set, err := jose.ParseKeySet(keys)
		if err != nil {
			t.Fatal(err)
		}
		far.Register("orders", farside.Client{Keys: set})
		fails(t, "clock_off", []string{"clock", "timedatectl"}, "token", "--issuer", far.IssuerURL, "--client", "orders", "--keyfile", dir+"/key.pem", "--dir", dir)
	})
}
