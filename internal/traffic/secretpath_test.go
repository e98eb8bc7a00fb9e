package traffic

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/policy"
)

func TestWhatLooksDrawnAtRandomIsNotKept(t *testing.T) {
	random := func(n int) []byte {
		b := make([]byte, n)
		rand.Read(b)
		return b
	}
	for name, draw := range map[string]func() string{
		"a token of 128 bits": func() string { return base64.RawURLEncoding.EncodeToString(random(16)) },
		"a token of 144 bits": func() string { return base64.RawURLEncoding.EncodeToString(random(18)) },
		"a token of 192 bits": func() string { return base64.RawURLEncoding.EncodeToString(random(24)) },
		"letters and digits": func() string {
			return strings.NewReplacer("-", "A", "_", "b").Replace(base64.RawURLEncoding.EncodeToString(random(15)))
		},
		"lower case and digits": func() string { return strings.ToLower(base32.StdEncoding.WithPadding(-1).EncodeToString(random(15))) },
	} {
		kept := 0
		for range 2000 {
			if !IsIdentifier(draw()) {
				kept++
			}
		}
		if kept > 160 {
			t.Errorf("%s: %d of 2000 are kept as they are", name, kept)
		}
	}
	for _, path := range []string{"/users/ana%40example.com", "/users/ana@example.com/orders", "/u/ana%2Bx%40example.com"} {
		target := policy.ParseTarget(path)
		if got := templateOf(target.Path); strings.Contains(got, "example") || strings.Contains(got, "ana") {
			t.Errorf("%s is kept as %s", path, got)
		}
	}
	for _, name := range []string{
		"orders", "listS3BucketContents", "exportOAuth2Credentials", "getCustomerOrderHistory", "order-line-item-adjustments", "AWSAccountV2Settings",
		"oauth-protected-resource", "subscription_billing_addresses", "convertPDFToHTMLDocument", "GetIPv4AddressRange",
	} {
		if IsIdentifier(name) {
			t.Errorf("%s is taken for an identifier", name)
		}
	}
}
