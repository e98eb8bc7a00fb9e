package jose

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParseCertificatePEM reads the public key of the first certificate in data. Its
// kid is its thumbprint; RSA may have up to 4096 bits, see
// [ParseCertificateKeySet]. A private key beside it is refused, whoever sends it
// (RFC 7517 §9.2).
func ParseCertificatePEM(data []byte) (PublicKey, error) {
	var found *PublicKey
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		switch {
		case block.Type != "CERTIFICATE":
			return PublicKey{}, fmt.Errorf("PEM block %q beside the certificate: send the certificate alone, and replace a private key that others have seen", block.Type)
		case found != nil:
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return PublicKey{}, errors.New("certificate cannot be read")
		}
		key := PublicKey{Use: "sig", Key: cert.PublicKey}
		if err := checkKeyUpTo(key.Key, maxCertificateRSABits); err != nil {
			return PublicKey{}, err
		}
		key.ID = key.Thumbprint()
		found = &key
	}
	if found == nil {
		return PublicKey{}, errors.New(`no certificate in PEM form found: want a block "-----BEGIN CERTIFICATE-----"`)
	}
	return *found, nil
}
