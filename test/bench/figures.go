package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// figure is one measured value.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// figures are what was measured, in the order of measuring.
type figures []figure

func (f *figures) add(name string, value float64, unit string) {
	*f = append(*f, figure{Name: name, Value: value, Unit: unit})
}

// print writes a table.
func (f figures) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, x := range f {
		_, _ = fmt.Fprintf(t, "%s\t%.3f\t%s\n", x.Name, x.Value, x.Unit)
	}
	_ = t.Flush()
}

// write writes the JSON list to a file, whose folder is made.
func (f figures) write(file string) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// quantile is the smallest sample that a share q of the samples does not exceed (nearest rank); zero without samples.
func quantile[T time.Duration | float64](samples []T, q float64) T {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	rank := int(q*float64(len(s)) + 0.999999)
	return s[min(max(rank, 1), len(s))-1]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
