package demo

import (
	"maps"
	"slices"
	"strings"
)

// virtualService is the part of `ipvsadm -Ln` that belongs to one virtual service, empty if there is none.
func virtualService(ipvsadm, addressPort string) string {
	var lines []string
	inside := false
	for line := range strings.Lines(ipvsadm) {
		line = strings.TrimRight(line, "\n ")
		if !strings.HasPrefix(strings.TrimSpace(line), "->") {
			inside = slices.Contains(strings.Fields(line), addressPort)
		}
		if inside {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// columns are the chosen fields of every line.
func columns(table string, fields ...int) string {
	var b strings.Builder
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		for _, i := range fields {
			if i < len(f) {
				b.WriteString(f[i] + " ")
			}
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String())
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func sortedKeys(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
