// Package metrics tests what tombolo offers to those who watch it: that the alerts fire, and that
// the boards show something.
package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const root = "../.."

// query is what a panel of a board asks.
type query struct{ board, panel, expr string }

// queries are those of all boards of config/prometheus.
func queries() ([]query, error) {
	files, err := filepath.Glob(filepath.Join(root, "config/prometheus/boards/*.json"))
	if err != nil {
		return nil, err
	}
	var all []query
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, p := range board.Panels {
			for _, t := range p.Targets {
				all = append(all, query{filepath.Base(file), p.Title, t.Expr})
			}
		}
	}
	return all, nil
}

// ofHistogram are the endings of a histogram's series.
var ofHistogram = regexp.MustCompile(`_(bucket|sum|count)$`)

// documented are the metrics of tombolo's that docs/metrics.md has in its tables.
func documented() ([]string, error) {
	page, err := os.ReadFile(filepath.Join(root, "docs/metrics.md"))
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(tombolo_[a-z_]+)` ").FindAllStringSubmatch(string(page), -1) {
		names = append(names, row[1])
	}
	return names, err
}

// undocumented returns those of the names that docs/metrics.md does not have.
func undocumented(names []string) ([]string, error) {
	known, err := documented()
	var unknown []string
	for _, name := range names {
		if strings.HasPrefix(name, "tombolo_") && !slices.Contains(known, name) && !slices.Contains(known, ofHistogram.ReplaceAllString(name, "")) {
			unknown = append(unknown, name)
		}
	}
	return unknown, err
}
