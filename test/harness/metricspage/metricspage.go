// Package metricspage tests that docs/metrics.md has every metric of a process, with its labels and
// what it is.
package metricspage

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// page is as seen from a package two folders below the project's.
const page = "../../docs/metrics.md"

// recorder is a registry that only remembers what is registered.
type recorder struct{ collectors []prometheus.Collector }

func (r *recorder) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)
	return nil
}

func (r *recorder) MustRegister(all ...prometheus.Collector) {
	r.collectors = append(r.collectors, all...)
}

func (r *recorder) Unregister(prometheus.Collector) bool { return false }

var described = regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: "(.*?)"(?:, unit: ".*?")?, constLabels: \{\}, variableLabels: \{(.*)\}(?:, unit: ".*?")?\}$`)

// rows are the rows of a table of these metrics, sorted by name.
func (r *recorder) rows(t *testing.T) []string {
	t.Helper()
	var rows []string
	for _, c := range r.collectors {
		descs := make(chan *prometheus.Desc)
		go func() { c.Describe(descs); close(descs) }()
		for d := range descs {
			found := described.FindStringSubmatch(d.String())
			if found == nil {
				t.Fatalf("%s is not as expected", d)
			}
			labels := strings.ReplaceAll(found[3], ",", ", ")
			rows = append(rows, strings.ReplaceAll(fmt.Sprintf("| `%s` | %s | %s |", found[1], labels, strings.ReplaceAll(found[2], `\"`, `"`)), "|  |", "| |"))
		}
	}
	slices.Sort(rows)
	return rows
}

// documented are the rows of the page's table below that heading.
func documented(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, below, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	below, _, _ = strings.Cut(below, "\n## ")
	return regexp.MustCompile("(?m)^\\| `tombolo_.*$").FindAllString(below, -1)
}

// Check fails the test if the table below that heading of docs/metrics.md is not what is registered.
// The test's package is two folders below the project's.
func Check(t *testing.T, heading string, register func(prometheus.Registerer)) {
	t.Helper()
	r := &recorder{}
	register(r)
	want := r.rows(t)
	if diff := cmp.Diff(want, documented(t, heading)); diff != "" {
		t.Errorf("the table of docs/metrics.md, section %s, is not what there is (-is +docs):\n%s\nIt should be:\n%s", heading, diff, strings.Join(want, "\n"))
	}
}
