package report

import (
	"fmt"
	"io"

	"github.com/tombolo-net/tombolo/internal/topology"
)

// Findings writes each finding on a line, and before them how many there are.
func Findings(out io.Writer, all []topology.Finding) {
	if len(all) == 0 {
		fmt.Fprintf(out, "%s Nothing is wrong.\n", NewPainter(out).Paint(Good))
		return
	}
	errors := 0
	for _, f := range all {
		if f.Severity == topology.SeverityError {
			errors++
		}
	}
	fmt.Fprintf(out, "%s, %s:\n", count(errors, "error"), count(len(all)-errors, "warning"))
	for _, f := range all {
		fmt.Fprintln(out, line(NewPainter(out), f))
	}
}

func line(p Painter, f topology.Finding) string {
	mark := Warn
	if f.Severity == topology.SeverityError {
		mark = Bad
	}
	said := fmt.Sprintf("%s %s: %s", p.Paint(mark), f.Cluster, f.Kind)
	if f.Name != "" {
		said += " " + objectName(f.Namespace, f.Name)
	}
	switch {
	case f.Condition != "":
		said += fmt.Sprintf(": %s (%s)", f.Condition, f.Reason)
	case f.Reason != "":
		said += fmt.Sprintf(" (%s)", f.Reason)
	}
	return said + ": " + f.Message
}

func objectName(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
