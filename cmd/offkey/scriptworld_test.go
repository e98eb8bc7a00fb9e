package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite"
)

// worldCommands make and look at what an offkey stands on: files, certificates,
// the database, the disk.
//
//	certificate NAME LIFE     a self-signed one for 127.0.0.1, in cert.pem and key.pem
//	certified URL NAME        the server shows the certificate of that name
//	sql FILE STATEMENT…       changes a database that nobody has open
//	disk DIR SIZE             a file system of its own, where [disk] says that this is allowed
//	port free|taken VAR       an address where nobody listens, or somebody else
//	hashes FILE               a table of hashes of the keys of the API: SHA-256, salted, PBKDF2
//	redeem URL NAME PW        a person who opens a one-time link and chooses the password in the file
//	approve FILE NAME PW      a person who answers `offkey login --json`, whose prompt is in the file
var worldCommands = map[string]command{
	"certificate": (*world).certificate, "certified": (*world).certified, "sql": (*world).sql, "disk": (*world).disk, "port": (*world).port, "approve": (*world).approve, "redeem": (*world).redeem, "hashes": (*world).hashes,
}

func (w *world) hashes(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "hashes FILE", args, 1)
	quick, salted := sha256.Sum256([]byte(ts.Getenv("SHOP"))), sha256.Sum256([]byte("pepperoni"+ts.Getenv("STOCK")))
	slow, err := pbkdf2.Key(sha256.New, ts.Getenv("BOARD"), []byte("somesalt"), 5000, 32)
	ts.Check(err)
	table := fmt.Sprintf("hash,owner,salt\n%x,Quick,\n%s,Salted,pepperoni\npbkdf2:sha256:5000$somesalt$%x,Slow,\n", quick, base64.StdEncoding.EncodeToString(salted[:]), slow)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(table), 0o600))
}

func (w *world) certificate(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "certificate NAME LIFE", args, 2)
	life, err := time.ParseDuration(args[1])
	ts.Check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: args[0]}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

func (w *world) certified(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "certified URL NAME", args, 2)
	u, err := url.Parse(args[0])
	ts.Check(err)
	wait(ts, func() (string, bool) {
		conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true}) // the certificate is looked at here
		if err != nil {
			return err.Error(), false
		}
		defer conn.Close()
		name := conn.ConnectionState().PeerCertificates[0].Subject.CommonName
		return name, name == args[1]
	})
}

func (w *world) sql(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "sql FILE STATEMENT…", args, 2)
	db, err := sql.Open("sqlite", "file:"+ts.MkAbs(args[0])+"?mode=rw")
	ts.Check(err)
	for _, statement := range args[1:] {
		_, err := db.Exec(statement)
		ts.Check(err)
	}
	ts.Check(db.Close())
}

func (w *world) disk(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "disk DIR SIZE", args, 2)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(mountDisk(dir, args[1]))
	ts.Defer(func() {
		if err := unmountDisk(dir); err != nil {
			ts.Fatalf("unmount: %v", err)
		}
	})
}

// mayMount reports whether a file system can be made here: that needs rights.
func mayMount(t *testing.T) bool {
	dir := t.TempDir()
	if mountDisk(dir, "64k") != nil {
		return false
	}
	if err := unmountDisk(dir); err != nil {
		t.Error(err)
	}
	return true
}

func (w *world) port(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "port free|taken VAR", args, 2)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[1], l.Addr().String())
	if args[0] == "free" {
		ts.Check(l.Close())
		return
	}
	ts.Defer(func() { _ = l.Close() })
}
