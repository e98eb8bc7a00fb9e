//go:build unix

package agent

import (
	"net"
	"sync"
	"syscall"
)

var masking sync.Mutex

// listenPrivately makes the socket without a moment in which others can connect.
func listenPrivately(path string) (net.Listener, error) {
	masking.Lock()
	defer masking.Unlock()
	before := syscall.Umask(0o177)
	defer syscall.Umask(before)
	return net.Listen("unix", path)
}
