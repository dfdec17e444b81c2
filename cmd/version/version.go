// Package version tells which build this is. It owns nothing else.
package version

import (
	"runtime"
	"runtime/debug"
)

// Version is set at link time, with -X; "dev" for a build that nobody stamped.
var Version = "dev"

// String is the version, the commit where the build recorded one, and the Go release, on one line.
func String() string {
	commit := "unknown commit"
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				commit = s.Value[:12]
			}
		}
	}
	return Version + " (" + commit + ", " + runtime.Version() + ")"
}
