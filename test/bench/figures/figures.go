// Package figures owns what a benchmark reports: measured values, their table and their file, and
// the arithmetic on samples. It measures nothing.
package figures

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// Figure is one measured value.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// List is what was measured, in the order of measuring.
type List []Figure

// Add appends a figure.
func (l *List) Add(name string, value float64, unit string) {
	*l = append(*l, Figure{Name: name, Value: value, Unit: unit})
}

// AddTimes appends the median and the 99th percentile of samples: <name>_p50_ms and <name>_p99_ms.
func (l *List) AddTimes(name string, samples []time.Duration) {
	l.Add(name+"_p50_ms", Milliseconds(Quantile(samples, 0.5)), "ms")
	l.Add(name+"_p99_ms", Milliseconds(Quantile(samples, 0.99)), "ms")
}

// Print writes a table.
func (l List) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, x := range l {
		_, _ = fmt.Fprintf(t, "%s\t%.3f\t%s\n", x.Name, x.Value, x.Unit)
	}
	_ = t.Flush()
}

// Write writes the JSON list to a file, whose folder is made.
func (l List) Write(file string) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// Read reads what Write wrote; a file that is not there is an empty list.
func Read(file string) (List, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l List
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", file, err)
	}
	return l, nil
}

// Update returns old with the figures of l in the place of those of the same name, or behind them.
func (l List) Update(old List) List {
	merged := slices.Clone(old)
	for _, x := range l {
		if i := slices.IndexFunc(merged, func(y Figure) bool { return y.Name == x.Name }); i >= 0 {
			merged[i] = x
		} else {
			merged = append(merged, x)
		}
	}
	return merged
}

// Quantile is the smallest sample that a share q of the samples does not exceed (nearest rank);
// zero without samples.
func Quantile[T time.Duration | float64](samples []T, q float64) T {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	rank := int(q*float64(len(s)) + 0.999999)
	return s[min(max(rank, 1), len(s))-1]
}

// Milliseconds is a duration as a figure's value.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
