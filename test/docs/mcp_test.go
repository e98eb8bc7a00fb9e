package docs

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/test/binary"
)

const mcpPage = "docs/how-to/mcp-server.md"

// TestTheMCPGuide runs the file and the commands of the page, at addresses of this
// machine, before an MCP server that answers a ping. What clients of the SDKs make
// of it is in test/interop.
func TestTheMCPGuide(t *testing.T) {
	needs(t, "curl")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/mcp" || r.Header.Get("Authorization") != "" || r.Host != r.Context().Value(http.LocalAddrContextKey).(interface{ String() string }).String() || !strings.Contains(string(body), "ping") {
			http.Error(w, "not a ping of the gateway", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`+"\n")
	}))
	t.Cleanup(server.Close)
	issuer, gateway := free(t), free(t)
	here := strings.NewReplacer(
		"https://auth.example.com", "http://"+issuer, "https://notes.example.com", "http://"+gateway, "notes.example.com", "127.0.0.1", "http://127.0.0.1:9000", server.URL,
	)
	blocks := blocksOf(t, mcpPage)
	for i := range blocks {
		blocks[i].text = here.Replace(blocks[i].text)
	}
	s := newSession(t)
	listen := "listen: {issuer: \"" + issuer + "\", gateway: \"" + gateway + "\", admin: \"127.0.0.1:0\", ops: \"127.0.0.1:0\"}\nstorage: {dsn: \"sqlite://" + s.dir + "/offkey.db\"}\n"
	file := filepath.Join(s.dir, "offkey.yaml")
	if blocks[0].language() != "yaml" {
		t.Fatalf("%s begins with a block of %q", mcpPage, blocks[0].info)
	}
	if err := os.WriteFile(file, []byte(blocks[0].text+listen), 0o600); err != nil {
		t.Fatal(err)
	}
	offkey, err := binary.Start(t, nil, "serve", "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { offkey.Stop(t) })
	s.env = append(s.env, "OFFKEY_DATA="+offkey.Data, "OFFKEY_DIR="+filepath.Join(s.dir, "callers"))
	s.run(blocks)
}
