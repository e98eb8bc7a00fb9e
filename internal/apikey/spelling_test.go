package apikey

import (
	"strings"
	"testing"
)

func TestOtherReadings(t *testing.T) {
	const k = "azE6cHc=" // k1:pw
	for _, tc := range []struct{ line, want string }{
		{"Authorization: KEY k1 x", "k1 x"},
		{"Authorization: KEY x k1", "x k1"},
		{"Authorization: key\tk1,x", "k1 x"},
		{"Authorization: KEY k1, KEY k2", "k1 k2"},
		{"Authorization: Bearer k1 x", "k1 x"},
		{"Authorization: Basic " + k + "!", "k1"},
		{"Authorization: Basic azE6!cHc=", "k1"},
		{"Authorization: Basic az E6cHc=", "k1"},
		{"Authorization: Basic " + k + "AAAA", "k1"},
		{"Authorization: Basic az8_Pjo=", "k??>"}, // the other alphabet
		{`Cookie: apikey="k1`, "k1"},
		{`Cookie: apikey="k1x`, "k1"},
		{`Cookie: apikey=k1"`, "k1"},

		// These are read in one way.
		{"Authorization: KEY k1", ""},
		{"Authorization: KEY  k1 ", ""},
		{"Authorization: Basic " + k, ""},
		{"Authorization: Basic azE6cHc", ""},
		{"Authorization: Digest username=k1, realm=x", ""},
		{"Authorization: Other k1 x", ""},
		{`Cookie: apikey="k1"; session="x`, ""},
	} {
		t.Run(tc.line, func(t *testing.T) {
			r := reader(t, "authorization:KEY", "authorization:Bearer", "basic", "cookie:apikey")
			h := request(tc.line)
			p := r.Read(h, "")
			if p.Spelling != (tc.want != "") {
				t.Errorf("spelling %v", p.Spelling)
			}
			if _, sole := p.Sole(); sole && p.Spelling {
				t.Error("it may be learnt under a second name")
			}
			if !p.Spelling {
				return
			}
			var got []string
			for _, f := range r.OtherReadings(h) {
				got = append(got, f.Value.Reveal())
			}
			for _, want := range strings.Fields(tc.want) {
				if !strings.Contains(" "+strings.Join(got, " ")+" ", want) {
					t.Errorf("read %q, want %q among them", got, want)
				}
			}
		})
	}
	t.Run("nothing is read where no carrier is", func(t *testing.T) {
		r := reader(t, "header:X-API-Key")
		for _, line := range []string{"Authorization: KEY k1 x", "Authorization: Basic a!zE6", `Cookie: apikey="k1`, "Authorization: "} {
			if h := request(line); r.Read(h, "").Spelling || len(r.OtherReadings(h)) > 0 {
				t.Errorf("%s: %v", line, r.OtherReadings(h))
			}
		}
	})
}
