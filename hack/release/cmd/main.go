// Command cmd makes the artefacts of a release from the commit that is checked out. Package release
// does the work; this is its command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tombolo-net/tombolo/hack/release"
)

func main() {
	r := release.Release{Tree: ".", VulnDB: os.Getenv("GOVULNDB")}
	flag.StringVar(&r.Version, "version", "", "version of the release, such as `v1.2.3`")
	flag.StringVar(&r.Out, "out", "dist", "`folder` that gets the artefacts")
	flag.StringVar(&r.SBOM, "sbom", "cyclonedx-gomod", "the program cyclonedx-gomod")
	flag.StringVar(&r.Govulncheck, "govulncheck", "govulncheck", "the program govulncheck")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, r); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, r release.Release) (err error) {
	if r.Time, err = commitTime(ctx); err != nil {
		return err
	}
	if err := r.Make(ctx, func(part string) { fmt.Fprintln(os.Stderr, "release: making", part) }); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "release: %s is in %s\n", r.Version, r.Out)
	return nil
}

// commitTime is SOURCE_DATE_EPOCH, if it is set; else the time of the commit that is checked out,
// which must be all that there is: nobody could make a release of other sources again.
func commitTime(ctx context.Context) (time.Time, error) {
	seconds, given := os.LookupEnv("SOURCE_DATE_EPOCH")
	if !given {
		changed, err := git(ctx, "status", "--porcelain")
		if err != nil {
			return time.Time{}, err
		}
		if changed != "" {
			return time.Time{}, errors.New("the tree has changes that are not committed; commit them, or set SOURCE_DATE_EPOCH for a trial:\n" + changed)
		}
		if seconds, err = git(ctx, "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, err
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("the time of the sources is %q, not seconds since 1970", seconds)
	}
	return time.Unix(n, 0).UTC(), nil
}

func git(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
