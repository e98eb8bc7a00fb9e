//go:build unix

package store

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"testing"
)

// testForeignAsRoot runs PostgreSQL as the user nobody: it refuses root.
func testForeignAsRoot(t *testing.T, bin string) {
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("there is no user nobody to run PostgreSQL")
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	dir, err := os.MkdirTemp("", "offkey-postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	as := func(c *exec.Cmd) *exec.Cmd {
		c.Dir = dir
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return c
	}
	run(t, as(exec.Command(bin+"/initdb", "-D", dir+"/data", "-U", "offkey", "-A", "trust", "--no-sync")))
	servePostgres(t, bin, dir, as)
}
