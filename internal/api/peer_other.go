//go:build !linux && !darwin

package api

import "errors"

func peerUID(int) (uint32, error) {
	return 0, errors.New("this system does not say who is at the other end of a socket; run offkey on Linux or macOS")
}
