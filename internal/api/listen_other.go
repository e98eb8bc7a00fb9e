//go:build !unix

package api

import (
	"errors"
	"net"
)

// Listen refuses: on this system a socket cannot tell who is at its other end.
func Listen(string) (net.Listener, error) {
	return nil, errors.New("this system has no operator socket; run offkey on Linux or macOS")
}
