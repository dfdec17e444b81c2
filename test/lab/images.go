package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/lab/image"
	"github.com/tombolo-net/tombolo/test/lab/registry"
)

// startRegistry serves images to the nodes, on the host's loopback.
func (l *Lab) startRegistry() error {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return fmt.Errorf("opening registry: %w", err)
	}
	l.registry = listener.Addr().(*net.TCPAddr).AddrPort().Port()
	server := &http.Server{Handler: registry.New(l.archive), ReadHeaderTimeout: 10 * time.Second}
	l.tasks.Go(func() { _ = server.Serve(listener) }) // ends with ErrServerClosed
	context.AfterFunc(l.ctx, func() { _ = server.Close() })
	return nil
}

// mirror is the URL at which a cluster's nodes find the registry.
func (l *Lab) mirror(c Cluster) string {
	return "http://" + netip.AddrPortFrom(l.host.Network(c.Primary4()).Loopback, l.registry).String()
}

// archive returns the archive of the image of this name, which it makes if the cache lacks it.
// Under any tag tombolo's is made of the program as it is now, so that a new tag is all it takes to
// try a change.
func (l *Lab) archive(ctx context.Context, ref string) (string, error) {
	cache := filepath.Join(l.options.Cache, "images")
	a, err := l.makeImage(ctx, cache, ref)
	if errors.Is(err, image.ErrUnknown) {
		return "", fmt.Errorf("%w: %w", registry.ErrUnknown, err)
	}
	if err != nil {
		l.progress.say("%v", err)
		return "", err
	}
	return a.Path, nil
}

func (l *Lab) makeImage(ctx context.Context, cache, ref string) (image.Archive, error) {
	if image.Repository(ref) == image.Repository(image.TomboloRef) {
		return image.Tombolo(ctx, cache, l.tombolo(ref))
	}
	if ref == image.CoreDNSRef {
		return image.CoreDNS(ctx, cache, filepath.Join(l.options.Bin, "coredns"))
	}
	archives, err := image.Ensure(ctx, cache, progressWriter{l.progress}, ref)
	if err != nil {
		return image.Archive{}, err
	}
	return archives[0], nil
}

// tombolo returns the path of the program in tombolo's image of this name: the one beside the lab's
// own program. Under tags that begin with next or previous it is the one in the folder of that name
// there, which make bin/next and make bin/previous build.
func (l *Lab) tombolo(ref string) string {
	beside := filepath.Dir(l.options.Init)
	_, tag, _ := strings.Cut(ref, ":")
	for _, version := range []string{"next", "previous"} {
		if strings.HasPrefix(tag, version) {
			return filepath.Join(beside, version, "tombolo")
		}
	}
	return filepath.Join(beside, "tombolo")
}

// warmImages makes what every node pulls, so that it does not wait for it.
func (l *Lab) warmImages(ctx context.Context) error {
	for _, ref := range append([]string{sandboxImage, image.CoreDNSRef}, l.options.Images...) {
		if _, err := l.archive(ctx, ref); err != nil {
			return err
		}
	}
	return nil
}

// sandboxImage is what holds a pod's namespaces.
const sandboxImage = image.Pause
