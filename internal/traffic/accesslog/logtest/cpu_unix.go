//go:build unix

package logtest

import (
	"syscall"
	"time"
)

// CPU is the processor time that this process has used, of all processors. On a
// machine that others use too it measures better than a clock.
func CPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
