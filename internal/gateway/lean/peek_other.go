//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package lean

import "net"

const canPeek = false

type peeker struct{}

func (*peeker) init(net.Conn) {}

func (*peeker) isQuiet() bool { return false }
