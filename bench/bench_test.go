package main

import (
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

func cpus(micros ...int) (all []sample) {
	for _, m := range micros {
		all = append(all, sample{cpu: time.Duration(m) * time.Microsecond})
	}
	return all
}

// A slow round is slow for both: compared round by round it does not count.
func TestRatiosAreTakenWithinARound(t *testing.T) {
	if r := ratio(cpus(110, 220, 110), cpus(100, 200, 100)); r != 1.1 {
		t.Errorf("got %v", r)
	}
}

func TestALimitThatIsMissedIsSaid(t *testing.T) {
	var out strings.Builder
	s := suite{
		title: "Title", baseline: "floor", subjects: []subject{{name: "floor"}, {name: "offkey"}},
		limits: []limit{{"offkey", "floor", 1.4}},
	}
	s.table(&out, map[string][]sample{"floor": cpus(50, 40, 60), "offkey": cpus(100, 100, 100)})
	for _, want := range []string{"× floor", "50.0", "40–60", "2.00"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table does not have %q:\n%s", want, out.String())
		}
	}
	if verdict(true) != "kept" || verdict(false) != "MISSED" {
		t.Error("verdicts are mixed up")
	}
}

func TestAssertionsAreSignedByTheKeyThatIsRegistered(t *testing.T) {
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := publicKeySet(key)
	if err != nil {
		t.Fatal(err)
	}
	set, err := jose.ParseKeySet(raw)
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := signAssertion("https://issuer.example", "bench", key)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := jose.Parse(assertion, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jwt.Verify(set.Candidates(jwt.Header().KeyID, jose.ES256)...); err != nil {
		t.Error(err)
	}
}
