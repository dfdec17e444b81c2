package image

import (
	"context"
	"errors"
	"io"
)

// Names of the images that are made from this repository's programs.
const (
	// Pause is the sandbox image of the lab's nodes.
	Pause = "tombolo-net/pause:lab"
	// Echo is a server that answers with what it saw of a request; see its folder.
	Echo = "tombolo-net/echo:lab"
	// Tombolo is tombolo's own image.
	TomboloRef = "tombolo-net/tombolo:dev"
	// CoreDNSRef is the cluster's DNS server.
	CoreDNSRef = "coredns/coredns:v1.15.0"
)

// Archive is an image as a file.
type Archive struct {
	// Ref is the name as a pod's spec has it, such as busybox.
	Ref string
	// Path is the file, in the cache.
	Path string
}

// ErrUnknown is what Ensure ends with for a name that it has no recipe for.
var ErrUnknown = errors.New("no recipe for this image")

// Ensure returns the archives of refs, in that order. Those that dir, a cache, lacks are built, and progress, if not
// nil, is told so. In them the names are normalised as the kubelet's are, so that busybox is found as such.
// It ends with ErrUnknown if there is no recipe for one of refs.
func Ensure(ctx context.Context, dir string, progress io.Writer, refs ...string) ([]Archive, error) {
	return nil, ErrUnknown
}

// Tombolo returns tombolo's own image, TomboloRef, made of the static binary at the path given.
func Tombolo(ctx context.Context, dir, binary string) (Archive, error) {
	return Archive{}, ErrUnknown
}

// CoreDNS returns the image CoreDNSRef, made of the static binary at the path given.
func CoreDNS(ctx context.Context, dir, binary string) (Archive, error) {
	return Archive{}, ErrUnknown
}
