package directory

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// imported reads a list, and shows each line as a text.
func imported(t testing.TB, list string) (lines []string, err error) {
	t.Helper()
	err = ReadImport(strings.NewReader(list), func(one ImportLine, wrong error) error {
		if wrong != nil {
			lines = append(lines, fmt.Sprintf("%d: %v", one.Number, wrong))
			return nil
		}
		p := one.Person
		line := fmt.Sprintf("%d: %s %s %v %s %v", one.Number, p.Name, p.Email, p.EmailVerified, p.Status, p.Groups)
		for _, name := range []string{"given_name", "family_name", "address"} {
			if p.Claims[name] != nil {
				line += fmt.Sprintf(" %s=%s", name, p.Claims[name])
			}
		}
		if !one.Password.IsZero() {
			line += fmt.Sprintf(" horse=%v", one.Password.matches("correct horse"))
		}
		if !one.TOTP.IsZero() {
			line += " totp"
		}
		lines = append(lines, line)
		return nil
	})
	return lines, err
}

const horse = "pbkdf2_sha256$1000$seasalt$mQnueSakb748zqBAC1tmWVZsZbi2zPGZarEzTGdfmso="

func TestPeopleOfOtherPrograms(t *testing.T) {
	for _, tc := range []struct {
		name, list string
		want       []string
	}{
		{"CSV", "\ufeffName, email,groups,password_hash,given_name,totp_secret,enabled\nana,ana@example.com,a b;c," + horse + ",Ana,JBSWY3DPEHPK3PXP,true\nbob,,,,,,false\ncarol,,,,,,\n",
			[]string{`2: ana ana@example.com false active [a b c] given_name="Ana" horse=true totp`, "3: bob  false disabled []", "4: carol  false invited []"}},
		{"CSV with an address claim", "name,address\nana,\"{\"\"country\"\":\"\"FR\"\"}\"\n", []string{`2: ana  false invited [] address={"country":"FR"}`}},
		{"JSONL", `{"name":"ana","email":"ana@example.com","email_verified":true,"groups":["a"],"claims":{"given_name":"Ana"},"password_hash":"` + horse + `"}` + "\n\n" + `{"name":"bob"}`,
			[]string{`1: ana ana@example.com true active [a] given_name="Ana" horse=true`, "3: bob  false invited []"}},
		{"Keycloak with PBKDF2", `{"username":"ana","email":"ana@example.com","emailVerified":true,"enabled":true,"firstName":"Ana","lastName":"Lopez","groups":["/eu/buyers"],"id":"x","createdTimestamp":1,"credentials":[{"type":"otp"},{"type":"password","secretData":"{\"value\":\"qDVZs8XEXZJYbyKYxt5JRaURQPBx8MMcmGdSpFQ1KRRu43a0qW32lWfgi1j+WK2Ukkh5SOaJytnseOYIJ6ftBw==\",\"salt\":\"Af4B/gH+Af4B/gH+Af4B/g==\",\"additionalParameters\":{}}","credentialData":"{\"hashIterations\":1000,\"algorithm\":\"pbkdf2-sha512\",\"additionalParameters\":{}}"}]}`,
			[]string{`1: ana ana@example.com true active [buyers] given_name="Ana" family_name="Lopez" horse=true`}},
		{"Keycloak with argon2", `{"username":"ana","credentials":[{"type":"password","secretData":"{\"value\":\"CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc=\",\"salt\":\"c29tZXNhbHQ=\"}","credentialData":"{\"hashIterations\":2,\"algorithm\":\"argon2\",\"additionalParameters\":{\"hashLength\":[\"32\"],\"memory\":[\"65536\"],\"type\":[\"id\"],\"version\":[\"1.3\"],\"parallelism\":[\"1\"]}}"}]}`,
			[]string{"1: ana  false active [] horse=false"}},
		{"what is wrong is said and the rest goes on", "name,email_verified,password_hash\na b,,\nana,maybe,\nbob,,$1$md5md5md5md5md5md5md5\ncarol\ndan,,\n",
			[]string{`2: the name "a b" has a character that names may not have: no spaces, quotes or brackets`, "3: email_verified is neither true nor false", "4: the password_hash is " + errHash.Error() + ": its form is unknown", "5: it has 1 columns, the heading has 3", "6: dan  false invited []"}},
		{"what is wrong with JSON", "{\"name\":7}\n{x\n{\"username\":\"svc\",\"serviceAccountClientId\":\"billing\"}\n{\"username\":\"ana\",\"credentials\":[{\"type\":\"password\",\"secretData\":\"{}\",\"credentialData\":\"{\\\"algorithm\\\":\\\"md5\\\"}\"}]}\n",
			[]string{"1: its member name has the wrong type", "2: it is no JSON object", "3: it is a service account: those are clients here, made with `offkey clients create`", "4: its password has an algorithm that offkey cannot check: it takes pbkdf2-sha256, pbkdf2-sha512, argon2 and bcrypt"}},
		{"a quote in the middle", "name\na\"b\nbob\n", []string{"2: it is no line of CSV", "3: bob  false invited []"}},
		{"a line without end", `{"name":"` + strings.Repeat("x", 70_000) + `"}` + "\n" + `{"name":"ana"}`, []string{"1: it has more than 65536 bytes", "2: ana  false invited []"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := imported(t, tc.list)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
	for name, list := range map[string]string{"nothing": "", "no name": "email\na@b.c\n", "an unknown column": "name,password\na,b\n"} {
		if lines, err := imported(t, list); err == nil || len(lines) != 0 {
			t.Errorf("%s: %v, %v", name, lines, err)
		}
	}
	stop := errors.New("stop")
	if err := ReadImport(strings.NewReader("name\na\nb\n"), func(ImportLine, error) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("it goes on: %v", err)
	}
}

func FuzzReadImport(f *testing.F) {
	f.Add("name,email,password_hash\nana,ana@example.com," + horse + "\n")
	f.Add(`{"username":"ana","credentials":[{"type":"password","secretData":"{}","credentialData":"{}"}]}`)
	f.Add("name\n\"a\nb\"\n")
	f.Fuzz(func(t *testing.T, list string) {
		_ = ReadImport(strings.NewReader(list), func(one ImportLine, wrong error) error {
			if wrong == nil && one.Person.Check() != nil {
				t.Errorf("line %d has a person that cannot be: %+v", one.Number, one.Person)
			}
			return nil
		})
	})
}
