package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/test/binary"
)

// world is one data directory and the ports that its offkey has in each round,
// so that it keeps its issuer.
type world struct {
	args    []string
	issuer  string
	gateway string
	data    string
	key     *jose.SigningKey // of the client that proves itself by assertions
	admin   *http.Client     // speaks to the operator socket
	public  *http.Client

	refusals atomic.Int64 // secrets tried that were to be refused
}

func newWorld(t *testing.T) *world {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(api.Close)
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	addrs := freeAddrs(t, 4)
	w := &world{
		issuer: "http://" + addrs[1], gateway: "http://" + addrs[0], data: binary.Dir(t), key: key,
		public: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
	}
	w.args = []string{"up", "--upstream", api.URL, "--data", w.data, "--gateway", addrs[0], "--issuer", addrs[1], "--admin", addrs[2], "--ops", addrs[3]}
	socket := filepath.Join(w.data, "offkey.sock")
	w.admin = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	return w
}

// freeAddrs are addresses that nobody listens on.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func (w *world) start(t *testing.T) *binary.Server {
	t.Helper()
	s, err := binary.Start(t, nil, w.args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// errKilled is any failure of the connection: there was no answer.
var errKilled = errors.New("no answer")

// refusal is an answer that is not 2xx.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return fmt.Sprintf("answer %d: %.300s", r.status, r.text) }

func refusedWith(err error, status int) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == status
}

func do(client *http.Client, r *http.Request, into any) error {
	resp, err := client.Do(r)
	if err != nil {
		return errors.Join(errKilled, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return errors.Join(errKilled, err) // the answer broke off
	}
	if resp.StatusCode/100 != 2 {
		return &refusal{resp.StatusCode, string(body)}
	}
	if into == nil || len(body) == 0 {
		return nil
	}
	return json.Unmarshal(body, into)
}

// manage asks the management API.
func (w *world) manage(method, path, contentType string, body []byte, into any) error {
	r, err := http.NewRequest(method, "http://offkey/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return do(w.admin, r, into)
}

func (w *world) manageJSON(method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return w.manage(method, path, "application/json", raw, into)
}

// post asks an endpoint of the issuer, as a client with a secret unless id is
// empty.
func (w *world) post(path, id, secret string, form url.Values, into any) error {
	r, err := http.NewRequest(http.MethodPost, w.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	return do(w.public, r, into)
}

func (w *world) token(id, secret string) (string, error) {
	var got struct {
		AccessToken string `json:"access_token"`
	}
	err := w.post("/token", id, secret, url.Values{"grant_type": {"client_credentials"}}, &got)
	return got.AccessToken, err
}

// call uses a token at the gateway.
func (w *world) call(token string) error {
	r, err := http.NewRequest(http.MethodGet, w.gateway+"/v1/orders", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return do(w.public, r, nil)
}

// assertion makes one that can be used for four minutes.
func (w *world) assertion(client, jti string) (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": client, "sub": client, "aud": w.issuer, "jti": jti, "iat": now.Unix(), "exp": now.Add(4 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	return w.key.Sign("client-authentication+jwt", claims)
}

func (w *world) present(assertion string) error {
	return w.post("/token", "", "", url.Values{
		"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}, nil)
}
