package docs

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/offkey/offkey/test/binary"
)

// guides are how-to pages whose commands are run, with what they take for
// granted: an offkey in front of an API, and a program shop whose key is known.
var guides = map[string]struct {
	up           []string                          // flags
	send         func(r *http.Request, key string) // how shop calls
	readsHeaders bool                              // the API does
	named        bool                              // the key has the label shop
	upgraded     bool                              // shop has a client
	files        map[string]string
}{
	"docs/how-to/import-apikeys.md": {
		send: func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) },
		files: map[string]string{
			"kong.yaml": "_format_version: \"3.0\"\nplugins: [{name: key-auth}]\nconsumers:\n- username: acme\n  keyauth_credentials:\n  - key: kong-key-0123456789-aaaa\n  - key: kong-key-0123456789-bbbb\n" +
				"- username: globex\n  keyauth_credentials:\n  - key: '{vault://env/globex}'\n",
			"keys.csv": "token,tenant\ntable-key-0123456789-aaaa,Acme\n",
			"crm.csv":  "key,owner\ncrm-key-0123456789-aaaa,Acme\n",
		},
	},
	"docs/how-to/keys-in-query.md": {
		up:           []string{"--apikey-in", "query:api_key", "--apikey-in", "header:X-API-Key"},
		send:         func(r *http.Request, key string) { r.URL.RawQuery = "api_key=" + key },
		readsHeaders: true,
	},
	"docs/how-to/keys-sent-as-bearer.md": {
		up:           []string{"--apikey-in", "authorization:Bearer"},
		send:         func(r *http.Request, key string) { r.Header.Set("Authorization", "Bearer "+key) },
		readsHeaders: true,
	},
	"docs/how-to/api-that-only-understands-keys.md": {
		up:   []string{"--token-call", "apikey"},
		send: func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) },
	},
	"docs/how-to/people.md": {
		send:         func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) },
		readsHeaders: true,
	},
	"docs/how-to/plan-a-campaign.md": {send: func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) }},
	"docs/how-to/brownout.md":        {send: func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) }},
	"docs/how-to/read-a-plan.md":     {send: func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) }, named: true},
	"docs/how-to/prove-it.md": {
		send:         func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) },
		readsHeaders: true, named: true,
	},
	"docs/how-to/leaked-key.md": {
		send:         func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) },
		readsHeaders: true, named: true, upgraded: true,
	},
}

func TestGuides(t *testing.T) {
	needs(t, "curl")
	for page, g := range guides {
		t.Run(strings.TrimSuffix(filepath.Base(page), ".md"), func(t *testing.T) {
			api, shop, _ := keyedAPI(t, g.readsHeaders)
			server := binary.Up(t, api, g.up...)
			for i := range 3 {
				call(t, fmt.Sprintf("%s/v1/orders/%d", server.Gateway, i), func(r *http.Request) { g.send(r, shop) })
			}
			known(t, server, 1)
			// The API's word on the key counts from the next call on.
			call(t, server.Gateway+"/v1/orders/7", func(r *http.Request) { g.send(r, shop) })

			s := newSession(t)
			if err := os.WriteFile(filepath.Join(s.dir, "shop.apikey"), []byte(shop+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for name, text := range g.files {
				if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			callers := filepath.Join(s.dir, "callers")
			if g.named {
				list := filepath.Join(s.dir, "keys.csv")
				if err := os.WriteFile(list, []byte("key,label\n"+shop+",shop\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				server.CLI(t, nil, "apikeys", "import", list)
			}
			if g.upgraded {
				binary.JSON(t, nil, "upgrade", "--api", server.Gateway, "--apikey-file", filepath.Join(s.dir, "shop.apikey"), "--name", "shop", "--dir", callers)
			}
			s.env = append(s.env, "GATEWAY="+strings.TrimPrefix(server.Gateway, "http://"), "ISSUER="+strings.TrimPrefix(server.Issuer, "http://"), "OFFKEY_DATA="+server.Data, "OFFKEY_DIR="+callers)
			s.run(blocksOf(t, page))
		})
	}
}

// A page whose commands are not run must not have blocks that look as if they
// were.
func TestGuidesThatAreNotRunShowCommandsAsConsole(t *testing.T) {
	for _, page := range pages(t) {
		_, run := guides[page]
		if run || page == mcpPage || strings.HasPrefix(page, "docs/tutorials/") || !strings.HasPrefix(page, "docs/") {
			continue
		}
		for _, b := range fenced(t, page) {
			if b.language() == "sh" {
				t.Errorf("%s:%d: a block of sh that no test runs: write console and `$ `, or add the page to guides", b.page, b.line)
			}
		}
	}
}

// pages are all pages of the project.
func pages(t *testing.T) (found []string) {
	t.Helper()
	found = []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			page, _ := filepath.Rel(root, path)
			found = append(found, filepath.ToSlash(page))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// fenced is blocksOf for pages that may have none.
func fenced(t *testing.T, page string) []block {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	if !fence.Match(raw) {
		return nil
	}
	return blocksOf(t, page)
}

func TestConfigurationsInThePagesAreValid(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"chain.pem", "key.pem", "clients-ca.pem", "edge.pem", "offkey_master", "offkey_pepper", "offkey_webhook", "corp.secret", "shop.secret", "orders.jwks", "agent.jwks", "ana.password",
	} {
		text := strings.Repeat("A", 43) + "=\n"
		switch filepath.Ext(name) { // as far as validate looks
		case ".pem":
			text = "-----BEGIN ANYTHING-----\n" + text[:40] + "\n-----END ANYTHING-----\n"
		case ".jwks":
			text = "{\"keys\": []}\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	for _, page := range pages(t) {
		for _, b := range fenced(t, page) {
			if b.language() != "yaml" {
				continue
			}
			count++
			text := strings.ReplaceAll(b.text, "/run/secrets/", dir+"/")
			if !strings.Contains(text, "gateway:") { // a part of a file
				text += "gateway: {upstreams: {api: {url: \"http://127.0.0.1:8080\"}}}\n"
			}
			file := filepath.Join(dir, "offkey.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(binary.Path(t), "config", "validate", file)
			cmd.Env = []string{"OFFKEY_GATEWAY_RESOURCE=https://api.example.com"}
			if !strings.Contains(text, "issuer: ") {
				cmd.Env = append(cmd.Env, "OFFKEY_ISSUER=https://auth.example.com")
			}
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %s", b.page, b.line, said)
			}
		}
	}
	if count < 5 {
		t.Errorf("only %d configurations were found", count)
	}
}

var (
	inline = regexp.MustCompile("`(offkey [^`]+)`")
	typed  = regexp.MustCompile(`(?m)^(?:\$ )?(?:\S+ )?(?:sudo -u \S+ )?((?:/usr/local/bin/)?offkey (?:[^\n\\]|\\\n)*)`)
	// rest is where a command ends: what comes behind is the shell's.
	rest = regexp.MustCompile(`\s(?:[|<>&;#]|\d>).*|\)"?.*`)
)

// commandsIn are the commands of offkey that a page names, with the line of each.
func commandsIn(t *testing.T, page string) map[string]int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	text, found := string(raw), map[string]int{}
	note := func(command string, at int) {
		command = rest.ReplaceAllString(strings.ReplaceAll(command, "\\\n", " "), "")
		if !strings.Contains(command, "…") && !strings.Contains(command, "...") && !strings.HasPrefix(command, "offkey COMMAND") {
			found[strings.TrimSpace(command)] = strings.Count(text[:at], "\n") + 1
		}
	}
	prose := fence.ReplaceAllStringFunc(text, func(s string) string { return regexp.MustCompile(`[^\n]`).ReplaceAllString(s, " ") })
	for _, m := range inline.FindAllStringSubmatchIndex(prose, -1) {
		note(prose[m[2]:m[3]], m[2])
	}
	for _, b := range fenced(t, page) {
		if b.language() != "sh" && b.language() != "console" && b.info != "" {
			continue
		}
		at := strings.Index(text, b.text)
		for _, m := range typed.FindAllStringSubmatchIndex(b.text, -1) {
			note(b.text[m[2]:m[3]], at+m[2])
		}
	}
	return found
}

// Every command that a page names exists, with the flags that it is given: it is
// run with --help, which is answered before anything is done, and after the
// command line was read.
func TestEveryCommandNamedInAPageExists(t *testing.T) {
	type named struct {
		page string
		line int
	}
	commands := map[string]named{}
	for _, page := range pages(t) {
		for command, line := range commandsIn(t, page) {
			commands[command] = named{page, line}
		}
	}
	if len(commands) < 60 {
		t.Errorf("only %d commands were found", len(commands))
	}
	asked := map[string]bool{}
	lacks := regexp.MustCompile(`--[a-z-]+: expected \S+ value`) // a flag that is named alone
	for command, at := range commands {
		words := regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`).FindAllString(command, -1)
		for i, w := range words {
			words[i] = strings.Trim(w, `"'`)
		}
		// Commands that differ in their values alone are asked about once.
		kind := regexp.MustCompile(`\s(?:[^-\sa-z]\S*|"[^"]*"|'[^']*'|\S*[^a-z\s-]\S*)`).ReplaceAllString(command, "")
		if asked[kind] {
			continue
		}
		asked[kind] = true
		if said := binary.Run(t, nil, append(words[1:], "--help")...); said.Code != 0 && !lacks.MatchString(said.Err) {
			t.Errorf("%s:%d: %s\n%s", at.page, at.line, command, said.Err)
		}
	}
}
