package gateway

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// selfSigned is a certificate for 127.0.0.1, and who trusts it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &signer.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}, pool
}

// startTLS serves h behind a guarded TLS socket.
func startTLS(t *testing.T, h http.Handler) (addr string, client *tls.Config) {
	t.Helper()
	cert, pool := selfSigned(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	addr = listen(t, quietServer(h), func(l net.Listener) net.Listener {
		return GuardTLSListener(l, config, time.Minute, nil)
	})
	return addr, &tls.Config{RootCAs: pool}
}

func TestGuardTLS(t *testing.T) {
	addr, config := startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || !r.TLS.HandshakeComplete {
			t.Errorf("%s: TLS is %+v", r.Proto, r.TLS)
		}
		_, _ = io.Copy(w, r.Body)
	}))
	for _, h2 := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: h2}
		for range 2 {
			resp, err := (&http.Client{Transport: transport}).Post("https://"+addr, "text/plain", strings.NewReader("Content-Length: 1\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			if string(got) != "Content-Length: 1\r\n" || (resp.ProtoMajor == 2) != h2 {
				t.Errorf("%s answers %q", resp.Proto, got)
			}
		}
		transport.CloseIdleConnections()
	}
}

func TestGuardTLSRefuses(t *testing.T) {
	for _, tc := range corpus {
		if len(tc.send) > 1<<20 {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			rec := &recorder{}
			addr, config := startTLS(t, rec)
			config.ServerName = "127.0.0.1"
			c := tls.Client(dial(t, addr), config)
			send(t, c, tc.send)
			if diff := cmp.Diff(tc.want, answers(t, c)); diff != "" {
				t.Errorf("answers: %s", diff)
			}
			if diff := cmp.Diff(tc.bodies, bodies(rec.requests())); diff != "" {
				t.Errorf("handlers saw: %s", diff)
			}
		})
	}
}

func TestGuardTLSAnswersPlainText(t *testing.T) {
	addr, _ := startTLS(t, &recorder{})
	c := dial(t, addr)
	send(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || line != "HTTP/1.0 400 Bad Request\r\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// Callers that do not finish their handshake neither hold up others nor the end.
func TestGuardTLSHandshakesWaitForNobody(t *testing.T) {
	cert, pool := selfSigned(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := GuardTLSListener(inner, &tls.Config{Certificates: []tls.Certificate{cert}}, time.Hour, nil)
	srv := quietServer(&recorder{})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	silent := dial(t, inner.Addr().String())
	send(t, silent, "\x16\x03")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	resp, err := client.Get("https://" + inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()

	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the unfinished handshake is still open: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
}

func TestGuardTLSGivesUpHandshakes(t *testing.T) {
	cert, _ := selfSigned(t)
	addr := listen(t, quietServer(&recorder{}), func(l net.Listener) net.Listener {
		return GuardTLSListener(l, &tls.Config{Certificates: []tls.Certificate{cert}}, 20*time.Millisecond, nil)
	})
	c := dial(t, addr)
	send(t, c, "\x16\x03")
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a handshake without end is waited for")
	}
}
