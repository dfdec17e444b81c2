// Package version says which build this is. It owns nothing else.
package version

import "runtime"

// Version is set at link time, with -X, from the tag or commit. A build without that says "dev".
var Version = "dev"

// String is the version and the Go release, on one line.
func String() string { return Version + " (" + runtime.Version() + ")" }
