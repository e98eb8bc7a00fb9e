//go:build !unix

package agent

import "net"

// listenPrivately: who can connect follows from the folder that the socket is in.
func listenPrivately(path string) (net.Listener, error) { return net.Listen("unix", path) }
