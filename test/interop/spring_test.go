package interop

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/test/binary"
)

// Spring is the API behind offkey and the caller in front of it; the project is
// that of docs/recipes/spring.md. Maven fetches some eighty megabytes, so it
// runs only when asked for.
func TestSpringCallsAndChecksTokens(t *testing.T) {
	if os.Getenv("OFFKEY_TEST_JAVA") != "1" {
		t.Skip("set OFFKEY_TEST_JAVA=1 to run it; it needs Java 17 and Maven")
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		t.Fatal("mvn is missing: install maven and a JDK of 17 or later")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	api := listener.Addr().String()
	if err := listener.Close(); err != nil { // Spring takes the port
		t.Fatal(err)
	}
	w := world{Server: binary.Up(t, "http://"+api, "--token-call", "bearer"), dir: t.TempDir()}
	w.CLI(t, nil, "routes", "set", "GET /v1/orders", "read:orders")
	w.CLI(t, nil, "routes", "set", "POST /v1/orders", "create:orders")
	w.CLI(t, nil, "routes", "enforce", "on")
	client := w.withKey(t, "ES256")

	run := func(more ...string) (string, error) {
		_, port, _ := net.SplitHostPort(api)
		args := []string{"--batch-mode", "--no-transfer-progress", "test"}
		for _, property := range append([]string{
			"server.port=" + port, "orders.issuer=" + w.Issuer, "orders.resource=" + w.Gateway, "orders.client=" + client.ID,
			"orders.scope=read:orders", "orders.key=" + client.file, "orders.jwks=" + strings.TrimSuffix(client.file, ".pem") + ".jwks",
		}, more...) {
			args = append(args, "-D"+property)
		}
		cmd := exec.CommandContext(t.Context(), "mvn", args...)
		cmd.Dir, cmd.WaitDelay = "java", time.Minute
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		err := cmd.Run()
		return said.String(), err
	}
	if said, err := run(); err != nil || !strings.Contains(said, "Tests run: 4, Failures: 0, Errors: 0") {
		t.Fatalf("%v\n%s", err, said)
	}
	// What Spring sends when nobody tells it otherwise is refused, and says why.
	if said, err := run("orders.assertion-audience=" + w.Issuer + "/token"); err == nil || !strings.Contains(said, "aud of the client assertion must be the issuer") {
		t.Errorf("the token endpoint as audience: %v\n%s", err, said)
	}
}
