// Package kmod loads kernel modules with what they depend on, as modprobe does, for an image that
// has no modprobe. It reads modules.dep below /lib/modules and nothing of modprobe's configuration:
// no aliases, no options, no blacklist.
package kmod

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// ErrNotFound means that modules.dep does not list the module: it is built into the kernel, or does
// not exist.
var ErrNotFound = errors.New("no such module in modules.dep")

// paths returns the files of the module and of all that it depends on, relative to the folder of
// modules.dep, in the order in which to load them.
func paths(dep io.Reader, name string) ([]string, error) {
	scanner := bufio.NewScanner(dep)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		file, needs, ok := strings.Cut(scanner.Text(), ":")
		if !ok || moduleName(file) != moduleName(name) {
			continue
		}
		// depmod writes the most basic dependency last.
		files := append([]string{file}, strings.Fields(needs)...)
		for i, j := 0, len(files)-1; i < j; i, j = i+1, j-1 {
			files[i], files[j] = files[j], files[i]
		}
		return files, nil
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading modules.dep: %w", err)
	}
	return nil, fmt.Errorf("module %s: %w", name, ErrNotFound)
}

// moduleName is the name of a module's file, kernel/net/ip-vs.ko.zst for example, with '-' as '_',
// which are the same.
func moduleName(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".")
	return strings.ReplaceAll(base, "-", "_")
}

// compressed reports whether the kernel has to decompress the file.
func compressed(file string) bool { return path.Ext(file) != ".ko" }
