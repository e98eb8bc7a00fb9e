package traffic

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

var errStop = errors.New("stop")

func TestReadObservations(t *testing.T) {
	const good = `{"at":"2026-11-23T12:00:00Z","credential":{"kind":"apikey","id":"ak_1"},"method":"GET","path":"/v1/orders/7","query_names":["a"],"status":200,"user_agent":"curl/8.7","source":"203.0.113.0/24","carrier":"header:X-API-Key"}`
	tests := []struct{ name, line, problem string }{
		{"the example of the design", good, ""},
		{"no credential", strings.Replace(good, `"kind":"apikey","id":"ak_1"`, `"kind":"none"`, 1), ""},
		{"members that are not known", strings.Replace(good, `{"at"`, `{"x":1,"at"`, 1), ""},
		{"no source", strings.Replace(good, `"source":"203.0.113.0/24",`, ``, 1), ""},
		{"no JSON", "GET /v1/orders/7", "not an observation"},
		{"half a line", good[:60], "not an observation"},
		{"two objects", good + good, "not an observation"},
		{"no time", strings.Replace(good, `"at":"2026-11-23T12:00:00Z",`, "", 1), `"at" is missing`},
		{"a time in another form", strings.Replace(good, "2026-11-23T12:00:00Z", "23/Nov/2026", 1), "not an observation"},
		{"another kind", strings.Replace(good, `"apikey"`, `"key"`, 1), `"credential.kind" is "key"`},
		{"an apikey without id", strings.Replace(good, `,"id":"ak_1"`, "", 1), `"credential.id" is missing: every apikey has one`},
		{"no method", strings.Replace(good, `"GET"`, `""`, 1), `"method" is missing`},
		{"a URL for a path", strings.Replace(good, `/v1/orders/7`, `https://x/v1`, 1), `"path" is "https://x/v1"`},
		{"no status", strings.Replace(good, `200`, `0`, 1), `"status" is 0`},
		{"an address for a network", strings.Replace(good, `203.0.113.0/24`, `203.0.113.7`, 1), "not an observation"},
		{"longer than a line may be", strings.Replace(good, "curl/8.7", strings.Repeat("x", maxLine), 1), "longer than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// the line stands third; what is around it is read whatever it is
			file := "\ufeff" + good + "\n\n" + tt.line + "\r\n" + good
			var lines []int
			var problem error
			err := ReadObservations(strings.NewReader(file), func(line int, o Observation, p error) error {
				lines = append(lines, line)
				if line == 3 {
					problem = p
				} else if p != nil || o.Credential.ID != "ak_1" || o.Source.String() != "203.0.113.0/24" {
					t.Errorf("line %d is read %+v, %v", line, o, p)
				}
				return nil
			})
			if err != nil || fmt.Sprint(lines) != "[1 3 4]" {
				t.Fatalf("lines %v, %v", lines, err)
			}
			switch {
			case tt.problem == "" && problem != nil:
				t.Error(problem)
			case tt.problem != "" && (problem == nil || !strings.Contains(problem.Error(), tt.problem)):
				t.Errorf("problem %v, want %q", problem, tt.problem)
			}
		})
	}
	t.Run("stops when it is told to", func(t *testing.T) {
		n := 0
		err := ReadObservations(strings.NewReader(good+"\n"+good), func(int, Observation, error) error { n++; return errStop })
		if n != 1 || !errors.Is(err, errStop) {
			t.Errorf("%d lines, %v", n, err)
		}
	})
	t.Run("an empty file has no lines", func(t *testing.T) {
		err := ReadObservations(strings.NewReader("\n \n"), func(int, Observation, error) error { return errStop })
		if err != nil {
			t.Error(err)
		}
	})
}

func FuzzReadObservations(f *testing.F) {
	f.Add("{}\n{\"at\":\"2026-11-23T12:00:00Z\"}\n\n")
	f.Add("\ufeff{\"credential\":{\"kind\":\"none\"},\"at\":\"2026-11-23T12:00:00Z\",\"method\":\"GET\",\"path\":\"/\",\"status\":200}")
	f.Fuzz(func(t *testing.T, file string) {
		lines, last := 0, 0
		err := ReadObservations(strings.NewReader(file), func(line int, o Observation, problem error) error {
			lines++
			if line <= last {
				t.Fatalf("line %d after line %d", line, last)
			}
			last = line
			if problem == nil && o.check() != nil {
				t.Fatalf("line %d: %+v is taken", line, o)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if lines > strings.Count(file, "\n")+1 {
			t.Fatalf("%d lines in %q", lines, file)
		}
	})
}
