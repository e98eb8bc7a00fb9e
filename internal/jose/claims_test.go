package jose

import (
	stdjson "encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDecodeClaimsIsStrict(t *testing.T) {
	type claims struct {
		Sub string `json:"sub"`
		Cnf struct {
			JKT string `json:"jkt"`
		} `json:"cnf"`
	}
	for _, tc := range []struct {
		name, raw, sub string
		refused        bool
	}{
		{"a claim and an unknown one", `{"sub":"a","x":{"y":[1]}}`, "a", false},
		{"another letter case does not fill it", `{"SUB":"b"}`, "", false},
		{"another letter case does not replace it", `{"sub":"a","SUB":"b"}`, "a", false},
		{"a letter that folds to s does not fill it", `{"ſub":"b"}`, "", false},
		{"twice", `{"sub":"a","sub":"a"}`, "", true},
		{"twice, once escaped", `{"sub":"a","s\u0075b":"b"}`, "", true},
		{"an unknown claim twice", `{"x":1,"x":1}`, "", true},
		{"twice in a nested object that is read", `{"cnf":{"jkt":"a","jkt":"b"}}`, "", true},
		{"wrong type", `{"sub":7}`, "", true},
		{"array", `["sub"]`, "", true},
		{"string", `"sub"`, "", true},
		{"null", `null`, "", true},
		{"nothing", ``, "", true},
		{"two objects", `{}{}`, "", true},
		{"not UTF-8", "{\"sub\":\"\xc3\"}", "", true},
		{"not JSON", `{"sub":'a'}`, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c claims
			err := DecodeClaims([]byte(tc.raw), &c)
			if (err != nil) != tc.refused {
				t.Fatalf("got %v", err)
			}
			if err == nil && c.Sub != tc.sub {
				t.Errorf("sub %q, want %q", c.Sub, tc.sub)
			}
		})
	}
	t.Run("duplicates are refused before a destination reads them itself", func(t *testing.T) {
		if err := DecodeClaims([]byte(`{"a":1,"a":2}`), &stdjson.RawMessage{}); err == nil {
			t.Error("accepted")
		}
		var raw stdjson.RawMessage
		if err := DecodeClaims([]byte(`{"a":1}`), &raw); err != nil || string(raw) != `{"a":1}` {
			t.Errorf("got %s, %v", raw, err)
		}
	})
}

func TestAudience(t *testing.T) {
	for _, tc := range []struct {
		name, raw string
		want      Audience
		refused   bool
	}{
		{"a string", `"https://a.example"`, Audience{Values: []string{"https://a.example"}}, false},
		{"an array of one", `["a"]`, Audience{Values: []string{"a"}, WasArray: true}, false},
		{"an array of two", `["a","b"]`, Audience{Values: []string{"a", "b"}, WasArray: true}, false},
		{"an empty array", `[]`, Audience{Values: []string{}, WasArray: true}, false},
		{"an empty string", `""`, Audience{Values: []string{""}}, false},
		{"null", `null`, Audience{}, true},
		{"a number", `7`, Audience{}, true},
		{"an object", `{}`, Audience{}, true},
		{"an array with a number", `["a",7]`, Audience{}, true},
		{"an array with null", `["a",null]`, Audience{}, true},
		{"an array in an array", `[["a"]]`, Audience{}, true},
		{"too many", `["` + strings.Repeat(`a","`, 40) + `"]`, Audience{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var claims struct {
				Aud Audience `json:"aud"`
			}
			err := DecodeClaims([]byte(`{"aud":`+tc.raw+`}`), &claims)
			if (err != nil) != tc.refused {
				t.Fatalf("got %v", err)
			}
			if !reflect.DeepEqual(claims.Aud, tc.want) {
				t.Errorf("got %+v", claims.Aud)
			}
			if err == nil {
				if out, err := stdjson.Marshal(claims.Aud); err != nil || string(out) != tc.raw {
					t.Errorf("written as %s, %v", out, err)
				}
			}
		})
	}
	a := Audience{Values: []string{"https://a.example"}}
	if !a.Has("https://a.example") || a.Has("https://a.example/") || a.Has("https://A.example") || a.Has("") {
		t.Error("audiences are compared octet by octet")
	}
	if !(Audience{}).IsZero() || a.IsZero() || (Audience{WasArray: true}).IsZero() {
		t.Error("IsZero says whether there was an aud")
	}
	if out, err := stdjson.Marshal(Audience{}); err != nil || string(out) != `[]` {
		t.Errorf("none is written as %s, %v", out, err)
	}
	if out, err := stdjson.Marshal(Audience{Values: []string{"a", "b"}}); err != nil || string(out) != `["a","b"]` {
		t.Errorf("two are written as %s, %v", out, err)
	}
}

func TestNumericDate(t *testing.T) {
	for _, tc := range []struct {
		name, raw string
		want      time.Time
		refused   bool
	}{
		{"integer", `1300819380`, time.Unix(1300819380, 0), false},
		{"zero", `0`, time.Unix(0, 0), false},
		{"fraction", `1300819380.5`, time.Unix(1300819380, 5e8), false},
		{"exponent", `1.3e9`, time.Unix(1300000000, 0), false},
		{"end of the year 9999", `253402300799`, time.Unix(253402300799, 0), false},
		{"later than the year 9999", `253402300800`, time.Time{}, true},
		{"milliseconds", `1300819380000`, time.Time{}, true},
		{"more than 64 bits", `99999999999999999999999`, time.Time{}, true},
		{"an enormous exponent", `1e999999999`, time.Time{}, true},
		{"negative", `-1`, time.Time{}, true},
		{"negative fraction", `-0.5`, time.Time{}, true},
		{"string", `"1300819380"`, time.Time{}, true},
		{"null", `null`, time.Time{}, true},
		{"boolean", `true`, time.Time{}, true},
		{"object", `{}`, time.Time{}, true},
		{"array", `[1]`, time.Time{}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var claims struct {
				Exp NumericDate `json:"exp"`
			}
			err := DecodeClaims([]byte(`{"exp":`+tc.raw+`}`), &claims)
			if (err != nil) != tc.refused {
				t.Fatalf("got %v", err)
			}
			if got := claims.Exp.Time(); !got.Equal(tc.want) {
				t.Errorf("got %v", got)
			}
			if claims.Exp.IsZero() != tc.refused {
				t.Errorf("IsZero is %v", claims.Exp.IsZero())
			}
		})
	}
	t.Run("is written in whole seconds", func(t *testing.T) {
		out, err := stdjson.Marshal(NewNumericDate(time.Unix(1300819380, 999)))
		if err != nil || string(out) != "1300819380" {
			t.Errorf("got %s, %v", out, err)
		}
	})
}
