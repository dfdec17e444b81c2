package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/test/lab"
)

// defaultName is the name of the lab when the user gives none.
const defaultName = "default"

// nameFlag adds the flag by which commands find a lab that is kept running.
func nameFlag(c *cobra.Command, name *string) {
	c.PersistentFlags().StringVar(name, "name", "", "the lab's name, as lab up was given it (default: the lab of $LAB_RUN, else \"default\")")
}

// linkOf returns the path of the symbolic link to the run folder of the lab of this name.
func linkOf(name string) (string, error) {
	if name == "" {
		name = defaultName
	}
	if name != filepath.Base(name) || name == "." || name == ".." {
		return "", fmt.Errorf("lab name %q: it may not be a path", name)
	}
	cache, err := testbin.CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "labs", name), nil
}

// runDir returns the run folder of the lab that a command is for.
func runDir(name string) (string, error) {
	if dir := os.Getenv(lab.RunEnv); name == "" && dir != "" {
		return dir, nil
	}
	link, err := linkOf(name)
	if err != nil {
		return "", err
	}
	dir, err := os.Readlink(link)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("no lab is running under the name %q; start one: lab up", filepath.Base(link))
	}
	if err != nil {
		return "", fmt.Errorf("finding lab: %w", err)
	}
	return dir, nil
}

// connect returns a client of the lab that a command is for.
func connect(name string) (*lab.Client, error) {
	dir, err := runDir(name)
	if err != nil {
		return nil, err
	}
	return lab.Connect(dir)
}
