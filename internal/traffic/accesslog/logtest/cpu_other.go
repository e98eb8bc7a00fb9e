//go:build !unix

package logtest

import "time"

var started = time.Now()

// CPU is the time since the start, where the system does not say how much of it
// was this process's.
func CPU() time.Duration { return time.Since(started) }
