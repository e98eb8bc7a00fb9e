package importfile

import (
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/directory"
)

const hashedKey = "live_test-key-0123456789"

// The sums below were made by Python's hashlib and hmac, by htpasswd and by
// openssl passwd, of hashedKey.
var hashForms = []struct {
	name, text string
	form       HashForm
	of         string // "" is hashedKey
}{
	{name: "SHA-256 in hex", text: "aa3e3b72bb03d04ae57fd0fbe0f9de34ad34a4a2d3ff4f9b47b0e1ec81d2ba6d", of: "?"},
	{name: "PBKDF2 of Django", text: "pbkdf2_sha256$1000$saltsalt$Nw5IfPnG5yU+zC0JQF2Vg2wOdOIPZm/CzNlt+bnmoDY="},
	{name: "PBKDF2 of Django with SHA-1", text: "pbkdf2_sha1$1000$saltsalt$WIVk0dvhow4B2k+iPVI6CXFppxE="},
	{name: "PBKDF2 of Werkzeug", text: "pbkdf2:sha256:1000$saltsalt$370e487cf9c6e7253ecc2d09405d95836c0e74e20f666fc2ccd96df9b9e6a036"},
	{name: "PBKDF2 of passlib", text: "$pbkdf2-sha256$1000$c2FsdHNhbHQ$Nw5IfPnG5yU.zC0JQF2Vg2wOdOIPZm/CzNlt.bnmoDY"},
	{name: "scrypt of Django", text: "scrypt$1024$saltsalt$8$1$fpg+xGYCb+O5/Vewf70bMcPQajZRqWpKXfjsL7PSkgJI0/Bp7coig8b3wUXwaZtOCKKNJSHdhls/dX4r7ontcA=="},
	{name: "scrypt of Werkzeug", text: "scrypt:1024:8:1$saltsalt$7e983ec466026fe3b9fd57b07fbd1b31c3d06a3651a96a4a5df8ec2fb3d2920248d3f069edca2283c6f7c145f0699b4e08a28d2521dd865b3f757e2bee89ed70"},
	{name: "scrypt of passlib", text: "$scrypt$ln=10,r=8,p=1$c2FsdHNhbHQ$fpg+xGYCb+O5/Vewf70bMcPQajZRqWpKXfjsL7PSkgI"},
	{name: "SHA-1 of htpasswd", text: "{SHA}moPZ2ATlH4n6jHBxDA2NA4nmSMc="},
	{name: "salted SHA-1 of LDAP", text: "{SSHA}djAVry1Qhbw94Jcx2xfqERWffq9zYWx0"},
	{name: "salt and apikey, as Django wrote it", text: "sha1$salty$85403748a0467e3953e7210539cfe8545d305756"},
	{name: "HMAC", text: "26d2e0e4ae43a1f08792991f74031846d06a6c1fb25a7eb525e6f40cec413ad2", form: HashForm{Algorithm: "hmac-sha256", Pepper: "p1"}},
	{name: "bcrypt of htpasswd", text: "$2y$05$vaaTgWYsdhsbkeIRGhJJpO288oqzrv4If3fRkaXhUAUElSj2RTTd6"},
	{name: "MD5 crypt of htpasswd", text: "$apr1$abcdefgh$yalqhiRGEJVBs.FpgjQdK0"},
	{name: "prefix and hash, as djangorestframework-api-key writes it", text: "live_test-pre.sha512$$ac645045935fa94086ac54d92450b2a5815cccc218fa55596888f4dfae057a72cccba8bff735393a1012646fede310b82f6275603bb78a7fb73f9c0d5f97961b", of: "live_test-pre.secret-0123456789"},
}

func matches(t *testing.T, h apikey.Hashed, value string) bool {
	t.Helper()
	if h.Scheme != apikey.SchemePassword {
		return h.Matches(value, []byte("the-pepper"))
	}
	p, err := directory.ParsePasswordHash(h.Text)
	if err != nil {
		t.Fatal(err)
	}
	ok, err := directory.NewHasher(1).Matches(t.Context(), p, value)
	return ok && err == nil
}

func TestHashesOfOtherPrograms(t *testing.T) {
	for _, tt := range hashForms {
		t.Run(tt.name, func(t *testing.T) {
			of := tt.of
			if of == "?" { // computed here: the form is what is tested
				of, tt.text = hashedKey, strings.Repeat("0", 0)+sha256Hex(hashedKey)
			}
			if of == "" {
				of = hashedKey
			}
			h, err := parseHash(tt.text, tt.form)
			if err != nil {
				t.Fatal(err)
			}
			if !matches(t, h, of) {
				t.Errorf("%+v is not of its apikey", h)
			}
			if matches(t, h, of+"x") || matches(t, h, "x"+of) {
				t.Error("it is of another apikey too")
			}
			again, err := parseHash(tt.text, tt.form)
			if err != nil || again.Mark() != h.Mark() {
				t.Error("read twice it has two marks")
			}
		})
	}
}

func TestSaltsAndEncodings(t *testing.T) {
	for name, tt := range map[string]struct {
		of   string // what was hashed
		form HashForm
		enc  func([]byte) string
	}{
		"base64":                {hashedKey, HashForm{}, stdBase64},
		"base64url, no padding": {hashedKey, HashForm{}, urlBase64},
		"salt and apikey":       {"pepperoni" + hashedKey, HashForm{Salt: "pepperoni"}, upperHex},
		"apikey and salt":       {hashedKey + "pepperoni", HashForm{Salt: "pepperoni", SaltLast: true}, stdBase64},
		"SHA-512 by length":     {hashedKey, HashForm{}, sha512Of},
		"MD5 by name":           {hashedKey, HashForm{Algorithm: "md5"}, md5Of},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := parseHash(tt.enc([]byte(tt.of)), tt.form)
			if err != nil || !h.Matches(hashedKey, nil) {
				t.Errorf("%+v, %v", h, err)
			}
		})
	}
	h, err := parseHash("acme."+sha256Hex("secret-part"), HashForm{})
	if err != nil || !h.Matches("acme.secret-part", nil) || h.Matches("other.secret-part", nil) {
		t.Errorf("prefix and the hash of what follows: %+v, %v", h, err)
	}
	h, err = parseHash("acme."+sha256Hex("acme.secret-part"), HashForm{})
	if err != nil || !h.Matches("acme.secret-part", nil) {
		t.Errorf("prefix and the hash of all: %+v, %v", h, err)
	}
}

func TestHashesThatAreNotTaken(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "words": "not a hash", "MD5 without its name": strings.Repeat("ab", 16), "crypt": "$6$rounds=5000$saltsalt$abcdef",
		"bcrypt that takes minutes": "$2b$20$" + strings.Repeat("a", 53), "PBKDF2 that takes minutes": "pbkdf2:sha256:90000000$s$" + strings.Repeat("ab", 32),
		"scrypt of a gigabyte": "scrypt:1048576:8:1$s$" + strings.Repeat("ab", 32), "no rounds": "pbkdf2_sha256$0$saltsalt$Nw5IfPnG5yU+zC0JQF2Vg2wOdOIPZm/CzNlt+bnmoDY=",
		"scrypt of no power of two": "scrypt:1000:8:1$s$" + strings.Repeat("ab", 32),
	} {
		if h, err := parseHash(text, HashForm{}); err == nil {
			t.Errorf("%s is taken: %+v", name, h)
		} else if len(text) > 8 && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error repeats it", name)
		}
	}
}
