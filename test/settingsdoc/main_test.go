package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/config"
)

func TestThePageIsThatOfThisTree(t *testing.T) {
	if err := run("../..", true); err != nil {
		t.Error(err)
	}
}

func TestEverySettingIsThere(t *testing.T) {
	all := settings()
	at := func(path string) setting {
		i := slices.IndexFunc(all, func(s setting) bool { return s.path == path })
		if i < 0 {
			t.Fatalf("no setting %s", path)
		}
		return all[i]
	}
	for path, want := range map[string]setting{
		"tokens.access.ttl":               {kind: "duration", initial: "15m"},
		"tls.mode":                        {kind: "one of none, files", initial: "none"},
		"trusted_proxies":                 {kind: "list of networks"},
		"gateway.upstreams.NAME.url":      {kind: "text", inList: true},
		"gateway.routes":                  {kind: "list of sections"},
		"gateway.routes[].scopes":         {kind: "list", inList: true},
		"gateway.limits.per_client":       {kind: "rate"},
		"apikeys.where":                   {kind: "list of sections", initial: "[{in: header, name: X-API-Key}]"},
		"apikeys.known_by[].valid_unless": {kind: "list of numbers", inList: true},
		"apikeys.probe":                   {kind: "true or false", initial: "true"},
		"secrets.master_key":              {kind: "secret", boot: true},
		"migration.calendar.sunset":       {kind: "date"},
	} {
		got := at(path)
		if got.doc == "" {
			t.Errorf("%s has no meaning", path)
		}
		got.path, got.doc = "", ""
		if got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
	// What a running offkey lists must be on the page.
	loaded, err := config.Parse("f.yaml", []byte("issuer: http://127.0.0.1:1\ngateway: {resource: \"http://127.0.0.1:2\", upstreams: {api: {url: \"http://127.0.0.1:3\"}}}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range loaded.Values() {
		path := strings.NewReplacer("upstreams.api", "upstreams.NAME", "[0]", "[]", "[1]", "[]").Replace(v.Setting)
		at(path)
	}
}

func TestEverySettingSaysWhatItMeans(t *testing.T) {
	for _, s := range settings() {
		if s.doc == "" {
			t.Errorf("%s has no doc tag", s.path)
		}
	}
}

func TestCheckFailsUntilThePageIsMadeAgain(t *testing.T) {
	root := t.TempDir()
	if err := run(root, true); err == nil || !strings.Contains(err.Error(), "go run ./test/settingsdoc") {
		t.Errorf("without a page: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "docs/reference"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(root, false); err != nil {
		t.Fatal(err)
	}
	if err := run(root, true); err != nil {
		t.Errorf("just made: %v", err)
	}
	file := filepath.Join(root, page)
	if err := os.WriteFile(file, []byte("# Settings\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(root, true); err == nil || !strings.Contains(err.Error(), "out of date") {
		t.Errorf("after a change: %v", err)
	}
}
