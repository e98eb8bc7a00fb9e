package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// PeerActor says who is at the other end of a connection to the operator
// socket, as the kernel knows it: "os:" and the user's number, for the audit.
// It is an error unless that is the user of this process, or root.
func PeerActor(conn net.Conn) (actor string, err error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return "", errors.New("the connection is no socket: nobody can vouch for its other end")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return "", fmt.Errorf("peer of the operator socket: %w", err)
	}
	var uid uint32
	var peerErr error
	if err := raw.Control(func(fd uintptr) { uid, peerErr = peerUID(int(fd)) }); err != nil {
		return "", fmt.Errorf("peer of the operator socket: %w", err)
	}
	if peerErr != nil {
		return "", fmt.Errorf("peer of the operator socket: %w", peerErr)
	}
	return admit(uid, os.Geteuid())
}

// admit lets a user's own commands in, and root's.
func admit(uid uint32, own int) (actor string, err error) {
	if uid != 0 && int(uid) != own {
		return "", fmt.Errorf("user %d may not speak to an offkey that runs as user %d; run the command as that user, or as root", uid, own)
	}
	return "os:" + strconv.FormatUint(uint64(uid), 10), nil
}

type peerKey struct{}

// peer is what ConnContext found out.
type peer struct {
	actor string
	err   error
}

// ConnContext is for http.Server: it notes once per connection who is at its
// other end. The Handler refuses requests without that note.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	actor, err := PeerActor(conn)
	return context.WithValue(ctx, peerKey{}, peer{actor, err})
}
