package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// Names of the images that are made from programs, not from Debian packages alone.
const (
	// Pause is the sandbox image of the lab's nodes.
	Pause = "tombolo-net/pause:lab"
	// Echo is a server that answers with what it saw of a request; see its folder.
	Echo = "tombolo-net/echo:lab"
	// Tools has the network tools that tests and users of a pod want.
	Tools = "nicolaka/netshoot:v0.15"
	// Agnhost is what docs/quickstart.md serves and asks with; see the folder agnhost.
	Agnhost = "registry.k8s.io/e2e-test-images/agnhost:2.53"
	// TomboloRef is tombolo's own image.
	TomboloRef = "tombolo-net/tombolo:dev"
	// CoreDNSRef is the cluster's DNS server.
	CoreDNSRef = "coredns/coredns:v1.15.0"
)

// Archive is an image as a file that `ctr -n k8s.io images import` takes.
type Archive struct {
	// Ref is the name as a pod's spec has it, such as busybox. Containerd holds the image under
	// this name's normalised form, under which the kubelet looks for it.
	Ref string
	// Path is the file, in the cache.
	Path string
}

// ErrUnknown is what Ensure ends with for a name that it has no recipe for.
var ErrUnknown = errors.New("no recipe for this image")

// Ensure returns the archives of refs, in that order. Those that dir, a cache that processes may
// share, lacks are built, and progress, if not nil, is told so. An archive is built again when its
// recipe or a package changes. Without Debian's packages in reach it takes an older archive, then
// the host's own programs. It ends with ErrUnknown if there is no recipe for one of refs.
func Ensure(ctx context.Context, dir string, progress io.Writer, refs ...string) ([]Archive, error) {
	s := newStore(dir, progress)
	archives := make([]Archive, 0, len(refs))
	err := s.locked(ctx, func() error {
		for _, ref := range refs {
			r, err := recipeOf(ref)
			if err != nil {
				return err
			}
			archive, err := s.ensure(ctx, r)
			if err != nil {
				return fmt.Errorf("making image %s: %w", ref, err)
			}
			archives = append(archives, archive)
		}
		return nil
	})
	return archives, err
}

// Tombolo returns tombolo's own image, TomboloRef: the static binary at the path given as /tombolo,
// with nft. dir is as for Ensure.
func Tombolo(ctx context.Context, dir, binary string) (Archive, error) {
	return ensureOne(ctx, dir, tomboloRecipe(binary))
}

// CoreDNS returns the image CoreDNSRef: the static binary at the path given as /coredns. dir is as
// for Ensure.
func CoreDNS(ctx context.Context, dir, binary string) (Archive, error) {
	return ensureOne(ctx, dir, corednsRecipe(binary))
}

// Static returns an image of this name that holds one static program, the file binary, at the path
// to. dir is as for Ensure.
func Static(ctx context.Context, dir, ref, binary, to string) (Archive, error) {
	return ensureOne(ctx, dir, staticRecipe(ref, binary, to))
}

// KubeProxy returns an image of this name as kubeadm runs it: the static binary at the path given,
// with what kube-proxy runs. dir is as for Ensure.
func KubeProxy(ctx context.Context, dir, ref, binary string) (Archive, error) {
	return ensureOne(ctx, dir, kubeProxyRecipe(ref, binary))
}

func ensureOne(ctx context.Context, dir string, r recipe) (Archive, error) {
	s := newStore(dir, nil)
	var archive Archive
	err := s.locked(ctx, func() (err error) {
		archive, err = s.ensure(ctx, r)
		return err
	})
	if err != nil {
		return Archive{}, fmt.Errorf("making image %s: %w", r.Ref, err)
	}
	return archive, nil
}

func newStore(dir string, progress io.Writer) *store {
	if progress == nil {
		progress = io.Discard
	}
	return &store{dir: filepath.Clean(dir), arch: "amd64", progress: progress, leftOut: leftOut}
}
