package importfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// told is an entry as the tables below write it.
func told(e Entry, problem error) string {
	parts := []string{fmt.Sprint(e.Line)}
	if e.Key != "" {
		parts = append(parts, e.Key)
	}
	if e.Hash != nil {
		parts = append(parts, "#"+e.Hash.Scheme)
		if len(e.Hash.Salt) > 0 {
			parts = append(parts, "salt")
		}
		if e.Hash.Prefix != "" {
			parts = append(parts, e.Hash.Prefix+"…")
		}
		if e.Hash.End != "" {
			parts = append(parts, "…"+e.Hash.End)
		}
	}
	for _, f := range []struct{ name, text string }{{"owner", e.Owner}, {"label", e.Label}, {"contact", e.Contact}, {"scopes", strings.Join(e.Scopes, " ")}} {
		if f.text != "" {
			parts = append(parts, f.name+"="+f.text)
		}
	}
	if !e.Created.IsZero() {
		parts = append(parts, "from="+e.Created.Format("2006-01-02T15:04:05"))
	}
	if !e.Expires.IsZero() {
		parts = append(parts, "to="+e.Expires.Format("2006-01-02"))
	}
	if e.Disabled {
		parts = append(parts, "disabled")
	}
	switch {
	case errors.Is(problem, ErrUnresolved):
		parts = append(parts, "UNRESOLVED")
	case problem != nil:
		parts = append(parts, "BAD")
	}
	return strings.Join(parts, " ")
}

func TestListsOfOtherSystems(t *testing.T) {
	for _, tt := range []struct {
		file, format string
		carriers     string
		want         []string
	}{
		{"kong-nested.yaml", Kong, "header:apikey header:X-API-Key", []string{
			"13 kong-acme-0001-aaaabbbbcccc owner=acme label=nightly batch contact=ops@acme.example scopes=create:orders read:orders",
			"16 kong-acme-0002-ddddeeeeffff owner=acme contact=ops@acme.example scopes=create:orders read:orders",
			"22 owner=4711 UNRESOLVED",
			"23 owner=4711 UNRESOLVED",
		}},
		{"kong-flat.json", Kong, "", []string{
			"5 kong-flat-0001-aaaabbbbcccc owner=acme label=first scopes=delete:orders read:orders from=2024-07-01T23:00:00 to=2024-07-02",
			"6 kong-flat-0002-ddddeeeeffff owner=globex from=2024-07-01T23:00:00",
			"7 kong-flat-0003-gggghhhhiiii owner=5f3c7a90-0000-4000-8000-000000000009",
		}},
		{"kong-consumer.yaml", Kong, "", []string{
			"17 owner=acme UNRESOLVED",
			"1 kong-k8s-0001-aaaabbbbcccc owner=acme label=acme-key scopes=read:orders",
			"28 kong-k8s-0002-ddddeeeeffff owner=globex label=old-credential",
		}},
		{"tyk.json", Tyk, "", []string{
			"2 5e9d9544a1dcd60001d0ed20acme0001 owner=Acme label=acme nightly contact=ops@acme.example from=2024-07-01T23:00:00 to=2100-01-01",
			"7 5e9d9544a1dcd60001d0ed20globex02 owner=globex label=globex disabled",
		}},
		{"tyk-hashed.json", Tyk, "", []string{"3 #sha256 owner=acme label=acme", "4 owner=globex label=globex UNRESOLVED"}},
		{"apisix.yaml", APISIX, "header:X-API-Key query:apikey", []string{
			"2 apisix-acme-0001-aaaabbbbcccc owner=acme label=nightly contact=ops@acme.example",
			"9 owner=globex label=cred-globex UNRESOLVED",
			"12 apisix-globex-0002-ddddeeee owner=globex label=cred-globex-2 disabled",
		}},
		{"apisix-admin.json", APISIX, "", []string{
			"2 owner=acme from=2024-07-01T23:00:00 UNRESOLVED",
			"3 apisix-admin-0001-aaaabbbb owner=globex label=34010989",
		}},
		{"nginx.conf", Nginx, "header:x-api-key query:api_key", []string{
			"7 UNRESOLVED",
			"8 nginx-acme-0001-aaaabbbbcccc owner=acme",
			"9 nginx-globex-0002-ddddeeeeffff owner=globex",
			"10 nginx-gone-0003-gggghhhhiiii disabled",
			"11 owner=old UNRESOLVED",
			`12 with "quotes" 0004 owner=quoted`,
			"15 nginx-query-0005-jjjjkkkk",
		}},
		{"envoy.yaml", Envoy, "header:X-API-Key query:api_key cookie:apikey authorization:Bearer", []string{
			"11 envoy-acme-0001-aaaabbbbcccc owner=acme", "13 envoy-globex-0002-ddddeeee owner=globex",
		}},
		{"aws.csv", CSV, "", []string{
			"2 aws-acme-0001-aaaabbbbcccc label=acme", "3 aws-globex-0002-ddddeeeeffff label=globex disabled",
		}},
		{"aws.json", AWS, "", []string{
			"3 aws-json-0001-aaaabbbbcccc owner=Acme Ltd label=acme from=2024-07-01T23:00:00", "4 label=globex from=2024-07-01T23:00:00 UNRESOLVED",
		}},
		{"unkey-list.json", Unkey, "", []string{
			"4 acme_unkey0001aaaabbbbcccc owner=Acme label=nightly contact=ops@acme.example scopes=orders.read from=2024-07-01T23:00:00 to=2100-01-01",
			"5 label=other from=2024-07-01T23:00:00 UNRESOLVED",
		}},
		{"unkey-migrate.json", Unkey, "", []string{
			"4 #sha256 acme_… owner=Acme label=one scopes=orders.read orders.write", "5 #sha256 owner=Globex disabled", "6 label=three UNRESOLVED",
		}},
		{"htpasswd.txt", Htpasswd, "", []string{
			"2 #password owner=acme label=acme", "3 #apr1 salt owner=globex label=globex",
			"4 #sha1 owner=initech@corp.example label=initech@corp.example contact=initech@corp.example",
			"5 owner=hooli label=hooli UNRESOLVED", "6 plain-key-0001-aaaabbbb owner=umbrella label=umbrella", "7 BAD",
		}},
		{"hashes.csv", CSV, "", []string{
			"2 #sha256 live_… owner=Acme scopes=create:orders read:orders from=2024-07-01T23:00:00 to=2030-01-01",
			"3 #sha256 …d6e9 owner=Globex from=2024-07-01T23:00:00",
			"4 #sha256 salt owner=Initech", "5 owner=Hooli UNRESOLVED", "6 owner=Umbrella UNRESOLVED",
		}},
		{"envoy-clients.txt", Envoy, "", []string{"2 envoy-lines-0001-aaaabbbbcccc owner=acme", "3 envoy-lines-0002-ddddeeee owner=globex"}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			f := File{}
			if tt.file == "envoy-clients.txt" { // could be many things: it is asked for
				f.Format = tt.format
			}
			var got []string
			found, err := f.Read(strings.NewReader(string(raw)), func(e Entry, problem error) error {
				got = append(got, told(e, problem))
				return nil
			})
			if err != nil || found.Format != tt.format {
				t.Errorf("read as %s, %v", found.Format, err)
			}
			if strings.Join(found.Carriers, " ") != tt.carriers {
				t.Errorf("carriers %v, want %s", found.Carriers, tt.carriers)
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}
