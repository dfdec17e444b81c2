// Command chart writes tombolo's Helm chart. What it installs is made from config/, so that chart
// and kustomize never differ; the values, their schema and the notes are in files/.
//
// It does not make the chart's archive: `helm package` does.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("chart", flag.ContinueOnError)
	out := flags.String("out", "dist/chart", "the chart's folder; what is in it is replaced")
	version := flags.String("version", "dev", "of tombolo, such as v1.2.3; git describe's form is taken, too")
	image := flags.String("image", "", "that the chart installs, as repository:tag; default: the one in config/")
	if err := flags.Parse(args); err != nil {
		return err
	}
	m, err := render(".")
	if err != nil {
		return err
	}
	files, err := chartFiles(m, *version, *image)
	if err != nil {
		return err
	}
	return write(*out, files)
}
