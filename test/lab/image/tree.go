package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// tree is a file system to take programs from: unpacked packages, or the host's own.
type tree struct{ root string }

var (
	binDirs = []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin"}
	// A tree has libraries of one architecture.
	libDirs = []string{"/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib"}
)

// program returns the entries of a program and of the libraries that it needs.
func (t *tree) program(name string) ([]entry, error) {
	at, err := t.find(name, binDirs)
	if err != nil {
		return nil, err
	}
	entries := map[string]entry{}
	if err := t.closure(at, entries); err != nil {
		return nil, fmt.Errorf("taking program %s: %w", name, err)
	}
	var list []entry
	for _, e := range entries {
		list = append(list, e)
	}
	return list, nil
}

// closure adds the file at the path given, and what it needs, to entries.
func (t *tree) closure(at string, entries map[string]entry) error {
	to := merged(at)
	if _, done := entries[to]; done {
		return nil
	}
	source, info, err := t.resolve(at)
	if err != nil {
		return err
	}
	entries[to] = entry{path: to, mode: int64(info.Mode().Perm()), source: source, size: info.Size()}
	needed, err := needs(source)
	if err != nil {
		return fmt.Errorf("reading %s: %w", at, err)
	}
	return t.libraries(needed, entries)
}

// libraries adds libraries of these names or paths, and what they need, to entries.
func (t *tree) libraries(needed []string, entries map[string]entry) error {
	for _, name := range needed {
		library := name
		if !path.IsAbs(name) {
			var err error
			if library, err = t.find(name, libDirs); err != nil {
				return err
			}
		}
		if err := t.closure(library, entries); err != nil {
			return err
		}
	}
	return nil
}

// needs returns what the dynamic linker loads for the ELF file: its interpreter's path and its
// libraries' names.
func needs(source string) ([]string, error) {
	f, err := elf.Open(source)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil && len(f.Progs) > 0 && f.Section(".dynamic") != nil {
		return nil, err
	}
	if section := f.Section(".interp"); section != nil {
		interp, err := section.Data()
		if err != nil {
			return nil, err
		}
		libraries = append(libraries, strings.TrimRight(string(interp), "\x00"))
	}
	return libraries, nil
}

// find returns the path of the first file of that name in dirs.
func (t *tree) find(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		at := path.Join(dir, name)
		if _, _, err := t.resolve(at); err == nil {
			return at, nil
		}
	}
	return "", fmt.Errorf("looking for %s in %v: %w", name, dirs, fs.ErrNotExist)
}

// resolve returns where on the host the file at a path of the tree is, links followed inside the
// tree.
func (t *tree) resolve(at string) (string, fs.FileInfo, error) {
	for range 16 {
		full := filepath.Join(t.root, at)
		info, err := os.Lstat(full)
		if err != nil {
			return "", nil, err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			return full, info, nil
		}
		target, err := os.Readlink(full)
		if err != nil {
			return "", nil, err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(at), target)
		}
		at = target
	}
	return "", nil, fmt.Errorf("resolving %s: too many links", at)
}

// all returns the entries of the files at and under a path, and of the libraries that they need:
// programs load plugins from such folders.
func (t *tree) all(at string) ([]entry, error) {
	entries, err := t.under(at)
	if err != nil {
		return nil, err
	}
	libraries := map[string]entry{}
	for _, e := range entries {
		if e.source == "" {
			continue
		}
		needed, err := needs(e.source)
		var other *elf.FormatError
		if errors.As(err, &other) || errors.Is(err, io.EOF) {
			continue // a file of another kind
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", e.path, err)
		}
		if err := t.libraries(needed, libraries); err != nil {
			return nil, fmt.Errorf("taking what %s needs: %w", e.path, err)
		}
	}
	return slices.AppendSeq(entries, maps.Values(libraries)), nil
}

// under returns the entries of the files at and under a path.
func (t *tree) under(at string) ([]entry, error) {
	var entries []entry
	err := filepath.WalkDir(filepath.Join(t.root, at), func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(t.root, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{path: merged("/" + relative), mode: int64(info.Mode().Perm())}
		switch d.Type() {
		case 0:
			e.source, e.size = p, info.Size()
		case fs.ModeSymlink:
			if e.link, err = os.Readlink(p); err != nil {
				return err
			}
		case fs.ModeDir:
		default:
			return nil
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("taking %s: %w", at, err)
	}
	return entries, nil
}

// merged returns the path that p has where /bin, /sbin, /lib and /lib64 are links into /usr.
func merged(p string) string {
	top, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	if slices.Contains([]string{"bin", "sbin", "lib", "lib64"}, top) {
		return "/usr" + p
	}
	return p
}

// isStatic says whether the ELF file at the path needs no dynamic linker; it ends with an error if
// it is not an ELF file.
func isStatic(source string) (bool, error) {
	needed, err := needs(source)
	var format *elf.FormatError
	if errors.As(err, &format) {
		return false, fmt.Errorf("%s is not a program: %w", source, err)
	}
	return len(needed) == 0, err
}
