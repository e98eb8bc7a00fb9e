package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set when a release is built.
var version = "0.1.0-dev"

// userAgent is what we call ourselves: whoever signs in for us reads it.
func userAgent() string { return fmt.Sprintf("offkey/%s (%s)", version, runtime.GOOS) }

type versionCmd struct{}

func (versionCmd) Help() string {
	return `Examples:
  offkey version
  offkey version --json`
}

// Run prints.
func (versionCmd) Run(_ context.Context, t *terminal) error {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	if t.JSON {
		return t.document(map[string]string{"version": version, "commit": commit, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
	}
	fmt.Fprintf(t.Out, "offkey %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
