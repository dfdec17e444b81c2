package demo

import (
	"maps"
	"slices"
	"strings"
)

// slots are those of a clusterset IP in a map of slots as `nft list map` prints it, one line each,
// and how many endpoints are in them.
func slots(nft, vip string) (lines string, endpoints int) {
	var mine []string
	different := map[string]bool{}
	for _, element := range strings.FieldsFunc(nft, func(r rune) bool { return strings.ContainsRune(",{}\n", r) }) {
		slot, endpoint, ok := strings.Cut(strings.TrimSpace(element), " : ")
		if !ok || !strings.HasPrefix(slot, vip+" . ") {
			continue
		}
		mine = append(mine, slot+" : "+endpoint)
		different[endpoint] = true
	}
	return strings.Join(mine, "\n"), len(different)
}

// virtualService is the part of `ipvsadm -Ln` that belongs to one virtual service, empty if it is
// not there.
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
