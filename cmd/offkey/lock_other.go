//go:build !windows && (!unix || aix || solaris || illumos)

package main

import (
	"errors"
	"os"
)

// tryLock does not exist on this system: processes may ask for a token each.
func tryLock(*os.File) (locked bool, err error) {
	return false, errors.ErrUnsupported
}
