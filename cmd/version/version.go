// Package version tells which build this is. It owns nothing else.
package version

import "runtime"

// Version is set at link time, with -X, from the tag or commit; "dev" for a build that nobody stamped.
var Version = "dev"

// String is the version and the Go release, on one line.
func String() string { return Version + " (" + runtime.Version() + ")" }
