// Command cmd prints the known vulnerabilities of what tombolo ships, and fails if a program reaches
// one, or if there is nothing to check against. Package vuln does the work.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tombolo-net/tombolo/hack/release"
	"github.com/tombolo-net/tombolo/hack/release/vuln"
)

func main() {
	c := vuln.Config{Tree: ".", Toolchain: release.Toolchain, Database: os.Getenv("GOVULNDB")}
	flag.StringVar(&c.Govulncheck, "govulncheck", "govulncheck", "the program govulncheck")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := vuln.Check(ctx, c)
	fmt.Print(report)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		stop()
		os.Exit(1)
	}
}
