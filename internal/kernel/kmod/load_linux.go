package kmod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Dir is the folder of the running kernel's modules, which must be the host's.
func Dir() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", fmt.Errorf("asking for the kernel's release: %w", err)
	}
	return filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:])), nil
}

// Load loads a module of the folder and what it depends on. What is loaded already is no error. The
// kernel wants CAP_SYS_MODULE, and since 5.17 decompresses modules itself.
func Load(dir, name string) error {
	dep, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return fmt.Errorf("loading module %s: %w", name, err)
	}
	defer dep.Close()
	files, err := paths(dep, name)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := load(filepath.Join(dir, file)); err != nil {
			return fmt.Errorf("loading module %s: %w", name, err)
		}
	}
	return nil
}

func load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if compressed(file) {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "finit_module", Path: file, Err: err}
	}
	return nil
}
