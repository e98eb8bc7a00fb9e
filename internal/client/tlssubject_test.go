package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"
)

// certificate makes one that says what template says.
func certificate(t testing.TB, template x509.Certificate) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotAfter = big.NewInt(1), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func edge(t testing.TB) *x509.Certificate {
	return certificate(t, x509.Certificate{
		Subject: pkix.Name{
			Country: []string{"DE"}, Organization: []string{"Acme, Inc."}, OrganizationalUnit: []string{"Edge  Team"}, CommonName: "edge +1",
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "PSDDE-1"}},
		},
		DNSNames: []string{"edge.example.com"}, EmailAddresses: []string{"Edge@example.com"},
		IPAddresses: []net.IP{net.IPv4(203, 0, 113, 7), net.ParseIP("2001:db8::7")}, URIs: []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/edge"}},
	})
}

func TestWhatACertificateMustSay(t *testing.T) {
	// checklist_32: exactly one of the five is compared, a name as RFC 4514 reads it.
	cert := edge(t)
	for _, s := range []TLSSubject{
		{DN: `2.5.4.97=PSDDE-1,CN=edge \+1,OU=Edge  Team,O=Acme\, Inc.,C=DE`},
		{DN: `organizationIdentifier=psdde-1, cn=EDGE \2B1, ou=edge team , o=Acme\2C Inc., c=de`},
		{DN: `OID.2.5.4.97=#0C0750534444452D31,2.5.4.3=edge \+1,OU=Edge Team,O=Acme\, Inc.,C=DE`},
		{DNS: "edge.example.com"}, {DNS: "EDGE.example.com"}, {URI: "spiffe://example.com/edge"},
		{IP: "203.0.113.7"}, {IP: "2001:DB8:0::7"}, {Email: "Edge@EXAMPLE.com"},
	} {
		if !s.Matches(cert) {
			t.Errorf("%+v does not match: %v", s, s.Check())
		}
	}
	for _, s := range []TLSSubject{
		{},
		{DNS: "edge.example.com", IP: "203.0.113.7"},
		{DN: `CN=edge \+1`},
		{DN: `C=DE,O=Acme\, Inc.,OU=Edge Team,CN=edge \+1,2.5.4.97=PSDDE-1`}, // the other way round
		{DN: `2.5.4.97=PSDDE-1+CN=edge \+1,OU=Edge Team,O=Acme\, Inc.,C=DE`}, // one name of two parts
		{DN: `2.5.4.97=PSDDE-1,CN=edge \+1,OU=Edge Team,O=Acme\, Inc.,C=DE,C=DE`},
		{DN: `2.5.4.97=PSDDE-1,CN=edge 1,OU=Edge Team,O=Acme\, Inc.,C=DE`},
		{DNS: "example.com"}, {DNS: "*.example.com"}, {URI: "spiffe://example.com/edge/"}, {IP: "203.0.113.8"}, {Email: "edge@example.com"},
	} {
		if s.Matches(cert) {
			t.Errorf("%+v matches", s)
		}
	}
}

func TestWhichSubjectsAreRefused(t *testing.T) {
	for _, s := range []string{"", "edge", "CN", "CN=", "=x", "CN=a,", "CN=a+", `CN=a\`, `CN=a\zz`, "XX=a", "1.02=a", "CN=#", "CN=#0", `CN="a"`, "CN=a;O=b", "CN=a,,O=b"} {
		if err := (TLSSubject{DN: s}).Check(); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if err := (TLSSubject{IP: "edge"}).Check(); err == nil {
		t.Error("an address that is none is taken")
	}
}

func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"CN=a,O=b", `2.5.4.97=#0C0161+UID=x\2C,DC=example`, "CN=a\\", ""} {
		f.Add(s)
	}
	raw := edge(f).RawSubject
	f.Fuzz(func(t *testing.T, s string) {
		name, err := parseDN(s)
		if err == nil && len(name) == 0 {
			t.Errorf("%q is a name without parts", s)
		}
		sameDN(s, raw)
		_, _ = decodeDN([]byte(s))
	})
}
