package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"testing"
)

func TestTheThreeFormsInWhichProxiesPassACertificateOn(t *testing.T) {
	leaf, issuer := []byte("the certificate of the caller"), []byte("the one that issued it")
	item := func(der []byte) string { return ":" + base64.StdEncoding.EncodeToString(der) + ":" }
	armour := func(ders ...[]byte) string {
		var b bytes.Buffer
		for _, der := range ders {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
		}
		return url.PathEscape(b.String())
	}
	for name, tt := range map[string]struct {
		header http.Header
		name   string
		want   [][]byte
	}{
		"RFC 9440":            {http.Header{"Client-Cert": {item(leaf)}}, "Client-Cert", [][]byte{leaf}},
		"RFC 9440 with chain": {http.Header{"Client-Cert": {" " + item(leaf)}, "Client-Cert-Chain": {item(issuer) + ", " + item(issuer)}}, "client-cert", [][]byte{leaf, issuer, issuer}},
		"nginx":               {http.Header{"X-Ssl-Cert": {armour(leaf)}}, "X-SSL-Cert", [][]byte{leaf}},
		"envoy":               {http.Header{"X-Forwarded-Client-Cert": {`By=spiffe://a/b;Hash=00;Subject="CN=a, O=\"b\"";Cert="` + armour(leaf) + `";URI=spiffe://c`}}, "X-Forwarded-Client-Cert", [][]byte{leaf}},
		"envoy with chain":    {http.Header{"X-Forwarded-Client-Cert": {`Cert="` + armour(leaf) + `";Chain="` + armour(leaf, issuer) + `"`}}, "X-Forwarded-Client-Cert", [][]byte{leaf, issuer}},
		"no header":           {http.Header{}, "Client-Cert", nil},
		"an empty one":        {http.Header{"Client-Cert": {""}}, "Client-Cert", nil},
	} {
		got, err := ForwardedCertificates(tt.header, tt.name)
		if err != nil || len(got) != len(tt.want) {
			t.Errorf("%s: %q, %v", name, got, err)
			continue
		}
		for i := range got {
			if !bytes.Equal(got[i], tt.want[i]) {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	for name, h := range map[string][]string{
		"two headers":        {item(leaf), item(leaf)},
		"cut off":            {":AAAA"},
		"not base64":         {":%%%%:"},
		"PEM without escape": {"-----BEGIN CERTIFICATE----- AAAA"},
		"a private key":      {url.PathEscape("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")},
		"two elements":       {`Cert="` + armour(leaf) + `",Cert="` + armour(issuer) + `"`},
		"no certificate":     {"By=a;Hash=00"},
		"a word":             {"yes"},
		"no end":             {`Cert="`},
	} {
		if got, err := ForwardedCertificates(http.Header{"Client-Cert": h}, "Client-Cert"); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAThumbprintIsTheUnpaddedHashOfTheCertificate(t *testing.T) {
	// checklist_155
	sum := sha256.Sum256([]byte("der"))
	if got := CertificateThumbprint([]byte("der")); got != base64.RawURLEncoding.EncodeToString(sum[:]) || len(got) != 43 {
		t.Errorf("%q", got)
	}
}

func FuzzForwardedCertificates(f *testing.F) {
	for _, s := range []string{":AAAA:", "-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A", `Hash=a;Cert="b";Chain="c\""`, ""} {
		f.Add(s, ":AAAA:")
	}
	f.Fuzz(func(t *testing.T, value, chain string) {
		got, err := ForwardedCertificates(http.Header{"Client-Cert": {value}, "Client-Cert-Chain": {chain}}, "Client-Cert")
		if err != nil && got != nil || len(got) > maxCertificates {
			t.Errorf("%d certificates, %v", len(got), err)
		}
	})
}
