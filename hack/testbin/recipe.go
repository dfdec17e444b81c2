package testbin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// recipe says how one program is made.
type recipe struct {
	name    string        // the program's file name in Dir
	version string        // as upstream spells it; see kernelBuild.fullVersion for the kernel
	usual   time.Duration // a cold build on two quiet cores, everything before it in its lane built
	lane    string        // recipes of a lane are built one after another, lanes at the same time
	builder builder
}

// builder makes one program from its pinned source.
type builder interface {
	// identity is every input that decides the result besides the version.
	identity() string
	// build writes the program to j.out and returns the version that it has,
	// which differs from the recipe's only where the pinned one is not to be had.
	build(ctx context.Context, j job) (version string, err error)
}

// job is one run of a builder.
type job struct {
	tree     string       // the folder of this package, which the builder must not write to
	work     string       // an empty folder, removed afterwards
	out      string       // where the program goes, below work
	parallel int          // how many compilers may run at once; at least 1
	log      io.Writer    // the full output of every command
	phase    func(string) // shows the user the current step, e.g. "unpacking"
}

// key names the recipe's place in the cache: 12 hex digits over everything
// that decides the result, so that a changed recipe is a new entry.
func (r recipe) key() string {
	return digest12(fmt.Sprintf("%s\n%s\n%s\n", r.name, r.version, r.builder.identity()))
}

// setKey names the folder of one whole set of recipes, like recipe.key.
func setKey(recipes []recipe) string {
	var all string
	for _, r := range recipes {
		all += r.name + " " + r.key() + "\n"
	}
	return digest12(all)
}

// digest12 returns the first 12 hex digits of s's SHA-256.
func digest12(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:12]
}
