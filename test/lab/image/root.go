package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Root is the root file system of a Debian machine: the files of packages, with those that they
// depend on. No script of a package has run in it.
type Root struct {
	store    *store
	packages []string
	debs     []deb
}

// notInRoot are packages that only serve the scripts of others.
var notInRoot = []string{"adduser", "debconf", "dpkg", "init-system-helpers", "perl", "perl-base", "sysvinit-utils", "usrmerge"}

// NewRoot finds out which packages there are. dir is a cache of its own, which processes may share,
// and progress, if not nil, is told what is fetched.
func NewRoot(ctx context.Context, dir string, progress io.Writer, packages ...string) (*Root, error) {
	s := newStore(dir, progress)
	s.leftOut = notInRoot
	r := &Root{store: s, packages: packages}
	err := s.locked(ctx, func() (err error) {
		r.debs, err = s.selection(ctx, packages)
		if errors.Is(err, errNoPackages) && s.update(ctx) {
			r.debs, err = s.selection(ctx, packages)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("choosing Debian packages: %w", err)
	}
	return r, nil
}

// Key is a digest of everything that decides the files.
func (r *Root) Key() (string, error) { return digest(r.debs) }

// Unpack writes the files to a folder, which is empty or not there.
func (r *Root) Unpack(ctx context.Context, to string) error {
	for _, top := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(to, "usr", top), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+top, filepath.Join(to, top)); err != nil {
			return err
		}
	}
	return r.store.locked(ctx, func() error {
		err := r.fetch(ctx)
		if err != nil && r.store.update(ctx) {
			err = r.fetch(ctx)
		}
		if err != nil {
			return fmt.Errorf("fetching Debian packages: %w", err)
		}
		return r.store.extract(ctx, r.debs, to)
	})
}

func (r *Root) fetch(ctx context.Context) (err error) {
	if r.debs, err = r.store.selection(ctx, r.packages); err != nil {
		return err
	}
	fmt.Fprintf(r.store.progress, "fetching and unpacking %d Debian packages (usually 20 s)\n", len(r.debs))
	_, err = r.store.apt(ctx, r.packages, "--download-only")
	return err
}
