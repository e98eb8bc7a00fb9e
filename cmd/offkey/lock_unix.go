//go:build unix && !aix && !solaris && !illumos

package main

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the file's lock if nobody holds it. It ends with the file, or
// with the process, however that ends.
func tryLock(file *os.File) (locked bool, err error) {
	for {
		switch err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return false, err
		}
	}
}
