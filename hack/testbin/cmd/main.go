// Command cmd fills the cache of test binaries: it verifies what is there,
// takes ready-made copies from a seed if one is given, and builds the rest from
// pinned sources. Package testbin does the work; this is its command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/tombolo-net/tombolo/hack/testbin"
)

const usage = `usage: go run ./hack/testbin/cmd [flags] [name...]

Builds the programs that the tests and the lab run, or those named, from pinned
sources into the cache (TOMBOLO_CACHE, else ~/.cache/tombolo).

`

// options are the command line.
type options struct {
	testbin.Config
	list, dir, writeSources bool
}

func main() {
	os.Exit(exitCode())
}

// exitCode runs the command line and says on stderr what went wrong.
func exitCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, parseFlags())
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "testbin: interrupted; what is built already is kept")
		return 130 // as a shell reports SIGINT
	case err != nil:
		fmt.Fprintf(os.Stderr, "testbin: %v\n", err)
		return 1
	}
	return 0
}

func parseFlags() options {
	var o options
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.StringVar(&o.Set, "set", testbin.DefaultSet, "take the `set` of programs of this name: kind, flannel, oldest or newest; without it what the lab and the tests run")
	flag.StringVar(&o.Seed, "seed", "", "take what fits from `folder`, which holds VERSIONS and testbin.tar.xz")
	flag.IntVar(&o.Parallel, "p", 0, "run `n` compilers at once (default: the number of CPUs)")
	flag.BoolVar(&o.list, "list", false, "print each program's name, version and state, and change nothing")
	flag.BoolVar(&o.dir, "dir", false, "print the folder that holds the programs, and change nothing")
	flag.BoolVar(&o.writeSources, "write-sources", false, "write SOURCES again after you changed a version")
	flag.Parse()
	o.Names = flag.Args()
	o.Out, o.Terminal = os.Stderr, isTerminal(os.Stderr)
	return o
}

func run(ctx context.Context, o options) error {
	switch {
	case o.dir:
		dir, err := testbin.SetDir(o.Set)
		if err != nil {
			return err
		}
		fmt.Println(dir)
		return nil
	case o.list:
		return testbin.List(os.Stdout, o.Set)
	}
	var err error
	if o.Tree, err = findTree(); err != nil {
		return err
	}
	if o.writeSources {
		return testbin.WriteSources(o.Tree)
	}
	_, err = testbin.Ensure(ctx, o.Config)
	return err
}

// findTree returns hack/testbin of the module that the working folder is in.
func findTree() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		tree := filepath.Join(dir, "hack", "testbin")
		if _, err := os.Stat(filepath.Join(tree, "SOURCES")); err == nil {
			return tree, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no hack/testbin/SOURCES above the working folder; run it in tombolo's tree")
		}
		dir = filepath.Dir(dir)
	}
}

// isTerminal says whether f is a character device and a terminal is expected
// there.
func isTerminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "" && os.Getenv("TERM") != "dumb"
}
