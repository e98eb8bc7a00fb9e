//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package lean

import (
	"net"
	"syscall"
)

const canPeek = true

// peeker looks whether something waits to be read from a socket, and leaves it
// there. The function is made once, so that looking does not allocate.
type peeker struct {
	conn  syscall.RawConn // nil: nothing is known
	look  func(fd uintptr) bool
	quiet bool
}

func (p *peeker) init(conn net.Conn) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	p.conn = raw
	var one [1]byte
	p.look = func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK) // sockets of package net never block
		p.quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	}
}

// isQuiet reports whether the socket is open and nothing waits.
func (p *peeker) isQuiet() bool {
	if p.conn == nil {
		return false
	}
	p.quiet = false
	return p.conn.Read(p.look) == nil && p.quiet
}
