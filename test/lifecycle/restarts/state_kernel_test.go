//go:build kernel

package restarts

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// snapshot is all that a dataplane may change of a node's kernel, by others' words, in lines.
func snapshot(t *testing.T, n *netns.Namespace) (lines []string) {
	t.Helper()
	for _, command := range []string{
		"ip -4 rule", "ip -6 rule", "ip -4 route show table all", "ip -6 route show table all",
		"ip -details link", "ip -4 addr", "ip -6 addr", "ip neigh show nud permanent", "bridge fdb show",
		"nft --stateless --handle list ruleset", "ipvsadm -Sn",
	} {
		args := strings.Fields(command)
		var of []string
		for line := range strings.Lines(n.Run(args[0], args[1:]...)) {
			of = append(of, args[0]+": "+strings.TrimRight(line, "\n"))
		}
		if args[0] == "ipvsadm" {
			slices.Sort(of) // by hash otherwise
		}
		lines = append(lines, of...)
	}
	return append(lines, settings(t, n)...)
}

// countsOfTheKernel are below /proc/sys/net, but no settings.
var countsOfTheKernel = []string{"net/netfilter/nf_conntrack_count", "net/ipv4/tcp_available_"}

// settings are all of a node's.
func settings(t *testing.T, n *netns.Namespace) (lines []string) {
	t.Helper()
	n.Do(func() {
		err := filepath.WalkDir("/proc/sys/net", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name := strings.TrimPrefix(path, "/proc/sys/")
			if slices.ContainsFunc(countsOfTheKernel, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
				return nil
			}
			value, err := os.ReadFile(path)
			if err != nil {
				value = []byte("cannot be read") // some can only be written
			}
			lines = append(lines, fmt.Sprintf("sysctl: %s = %s", name, strings.TrimSpace(string(value))))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return lines
}

// translated are a node's tracked flows to clusterset IPs that lead to endpoints.
func translated(n *netns.Namespace) (lines []string) {
	for line := range strings.Lines(n.Run("conntrack", "-L")) {
		var destinations, sources []string
		for _, word := range strings.Fields(line) {
			if address, ok := strings.CutPrefix(word, "dst="); ok {
				destinations = append(destinations, address)
			}
			if address, ok := strings.CutPrefix(word, "src="); ok {
				sources = append(sources, address)
			}
		}
		if len(destinations) == 2 && strings.HasPrefix(destinations[0], "244.0.0.") && sources[1] != destinations[0] {
			lines = append(lines, line)
		}
	}
	return lines
}

// monitor collects what a program prints while it runs.
type monitor struct {
	t  *testing.T
	mu sync.Mutex
	// text is guarded by mu.
	text bytes.Buffer
}

func (m *monitor) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.Write(b)
}

func (m *monitor) read() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.String()
}

// changes are the events that such a monitor of the node's kernel prints while something is done.
// mark makes and takes away an object of that number, which the monitor prints with that word: by
// it the monitor is known to be there, and to have told all.
func changes(t *testing.T, n *netns.Namespace, argv []string, mark func(number int) (word string), do func()) string {
	t.Helper()
	m := &monitor{t: t}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = m, m
	n.Do(func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	}()
	seen := func(number int) {
		eventually(t, "hearing of changes", func() error {
			if word := mark(number); !strings.Contains(m.read(), word) {
				return fmt.Errorf("%s prints nothing of %s", argv[0], word)
			}
			return nil
		})
	}
	seen(1)
	do()
	seen(2)
	var events []string
	for line := range strings.Lines(m.read()) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.Contains(line, mark1) && !strings.Contains(line, mark2) && !strings.HasPrefix(line, "# new generation") {
			events = append(events, line)
		}
	}
	return strings.Join(events, "\n")
}

// The marks' words.
const mark1, mark2 = "7771", "7772"

func word(number int) string { return []string{mark1, mark2}[number-1] }

// unchanged fails the test if anything of a node's tables, routes, rules, links or addresses is
// written while something is done, be it the same again.
func unchanged(t *testing.T, n *netns.Namespace, what string, do func()) {
	t.Helper()
	nft := func(number int) string {
		n.Run("nft", fmt.Sprintf("add table ip mark%s; delete table ip mark%[1]s", word(number)))
		return word(number)
	}
	rule := func(number int) string {
		for _, verb := range []string{"add", "del"} {
			n.Run("ip", "rule", verb, "pref", word(number), "lookup", "main")
		}
		return word(number)
	}
	var nftables string
	routes := changes(t, n, []string{"ip", "monitor", "link", "address", "route", "rule"}, rule, func() {
		nftables = changes(t, n, []string{"nft", "monitor"}, nft, do)
	})
	for _, tt := range []struct {
		name   string
		events string
	}{{"nftables", nftables}, {"routes", routes}} {
		if tt.events != "" {
			t.Errorf("%s wrote to %s:\n%s", what, tt.name, tt.events)
		}
	}
}

// programmed changes when the worker's agent has programmed a first part of what is new.
func programmed(t *testing.T, s *site) (state uint32) {
	t.Helper()
	s.worker.Do(func() {
		var err error
		if s.backend == v1alpha1.BackendNFTables {
			state, err = nft.Generation()
		} else {
			var text []byte
			text, err = os.ReadFile("/proc/thread-self/net/ip_vs")
			state = uint32(bytes.Count(text, []byte("\n")))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return state
}

// served is how many of the many Services the worker's kernel serves.
func served(s *site) int {
	s.t.Helper()
	words := map[string]bool{}
	if s.backend == v1alpha1.BackendNFTables {
		for _, word := range strings.FieldsFunc(s.worker.Run("nft", "list", "map", "inet", "tombolo-services", "services4"), func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == ',' }) {
			words[word] = true
		}
	} else {
		for _, word := range strings.Fields(s.worker.Run("ipvsadm", "-Sn")) {
			words[strings.TrimSuffix(word, ":80")] = true
		}
	}
	n := 0
	for i := range many {
		if words[manyVIP(i)] {
			n++
		}
	}
	return n
}

// manyVIP is the clusterset IP of one of the many Services.
func manyVIP(i int) string { return fmt.Sprintf("244.0.%d.%d", 16+i/250, 1+i%250) }
