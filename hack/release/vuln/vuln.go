// Package vuln looks for known vulnerabilities in what tombolo ships, with govulncheck: those whose
// code a program reaches are errors. It chooses the database, and says which one it was. It never
// takes a check that did not happen for a good one.
package vuln

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Config says what is checked against what.
type Config struct {
	Tree        string // required: the folder of the sources
	Govulncheck string // required: path of the program
	Toolchain   string // required: the Go release with whose standard library programs are built
	// Database is the URL of a vulnerability database, http or file: optional, default Online if it
	// answers, else the copy that Pinned names.
	Database string
	Targets  []Target // optional, default Shipped
}

// Target is what is checked at once.
type Target struct {
	OS      string // as in GOOS
	Package string // a pattern, as go build takes it
}

// Shipped is what users run.
func Shipped() []Target {
	return []Target{{"linux", "./cmd/..."}, {"darwin", "./cmd/kubectl-tombolo"}, {"windows", "./cmd/kubectl-tombolo"}}
}

// ErrReachable says that a program reaches vulnerable code. The report says which and how.
var ErrReachable = errors.New("a program reaches vulnerable code")

// reachable is the exit code by which govulncheck says the same.
const reachable = 3

// Check checks every target and returns a report for a person. An error that is ErrReachable comes
// with the report; any other means that the check did not happen.
func Check(ctx context.Context, c Config) (report string, err error) {
	db, from, err := c.database(ctx)
	if err != nil {
		return "", fmt.Errorf("nothing was checked: %w", err)
	}
	if len(c.Targets) == 0 {
		c.Targets = Shipped()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Known vulnerabilities of tombolo built with %s, from %s\n", c.Toolchain, from)
	var found error
	for _, t := range c.Targets {
		out, err := c.check(ctx, db, t)
		fmt.Fprintf(&text, "\n%s for %s:\n\n%s", t.Package, t.OS, out)
		if err != nil && !errors.Is(err, ErrReachable) {
			return "", fmt.Errorf("nothing is known of %s: %w", t.Package, err)
		}
		if err != nil {
			found = ErrReachable
		}
	}
	return text.String(), found
}

// check runs govulncheck on one target and returns its findings.
func (c Config) check(ctx context.Context, db string, t Target) (string, error) {
	cmd := exec.CommandContext(ctx, c.Govulncheck, "-db", db, t.Package)
	cmd.Dir = c.Tree
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+c.Toolchain, "GOOS="+t.OS, "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == reachable {
		return out.String(), ErrReachable
	}
	if err != nil {
		return "", fmt.Errorf("govulncheck -db %s: %w: %s", db, err, strings.TrimSpace(errs.String()+out.String()))
	}
	return out.String(), nil
}

// Online is the Go project's database.
const Online = "https://vuln.go.dev"

// answerTime is how long Online may take to answer.
const answerTime = 20 * time.Second

// database returns the URL of the database, and how a report names it.
func (c Config) database(ctx context.Context) (url, name string, err error) {
	if c.Database != "" {
		return c.Database, c.Database, nil
	}
	online := answers(ctx, Online+"/index/modules.json.gz")
	if online == nil {
		return Online, Online, nil
	}
	url, err = copyOf(ctx, c.Tree)
	if err != nil {
		return "", "", fmt.Errorf("neither %s (%w) nor its copy %s (%w) can be read: set GOVULNDB to the URL of another one", Online, online, Pinned, err)
	}
	return url, fmt.Sprintf("the copy %s, which does not know what was found later: %s does not answer", Pinned, Online), nil
}

// answers returns nil if a URL can be read.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return nil
}
