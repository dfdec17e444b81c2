package corefile

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns/caddy/caddyfile"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the goldens")

// add is Add of a Corefile that can be changed.
func add(t *testing.T, source string) (string, []Addition) {
	t.Helper()
	c, err := Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	text, added, err := c.Add()
	if err != nil {
		t.Fatal(err)
	}
	return text, added
}

// Every Corefile in testdata/*.in becomes its *.golden, and comes back.
func TestAddAndRemove(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("found %d inputs: %v", len(inputs), err)
	}
	for _, input := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(input), ".in"), func(t *testing.T) {
			source := read(t, input)
			got, added := add(t, source)
			golden := strings.TrimSuffix(input, ".in") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(read(t, golden), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (got == source) != (len(added) == 0) {
				t.Errorf("changed: %v, but added: %v", got != source, added)
			}
			if again, more := add(t, got); again != got || len(more) > 0 {
				t.Errorf("a second time adds %v", more)
			}
			back, err := Remove(got, added)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(source, back); diff != "" {
				t.Errorf("after removal (-want +got):\n%s", diff)
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name, in string
		line     int
		want     string // in the error
	}{
		{"empty", "", 0, "kubernetes cluster.local"},
		{"no kubernetes plugin", ".:53 {\n    forward . 192.0.2.1\n}\n", 0, "imported file"},
		{"only another cluster's", ".:53 {\n    kubernetes other.local {\n        endpoint https://192.0.2.1\n    }\n}\n", 0, "no server block"},
		{"only reverse zones", ".:53 {\n    kubernetes in-addr.arpa 10.0.0.0/8\n}\n", 0, "no server block"},
		{"no zones", ".:53 {\n    errors\n    kubernetes\n}\n", 3, "name them"},
		{"plugin not closed", ".:53 {\n    kubernetes cluster.local {\n        pods insecure\n}\n", 4, "line 1 is not closed"},
		{"server block not closed", ".:53 {\n    errors\n", 2, "line 1 is not closed"},
		{"a brace too many", ".:53 {\n    errors\n}\n}\n", 4, "zones"},
		{"closed on the plugin's line", ".:53 {\n    errors }\n", 2, "line of its own"},
		{"brace on its own line", ".:53 {\n    kubernetes cluster.local\n    {\n    }\n}\n", 3, "plugin's line"},
		{"words after a brace", ".:53 {\n    kubernetes cluster.local {\n    } errors\n}\n", 3, "new line"},
		{"quotation not closed", ".:53 {\n    kubernetes \"cluster.local\n}\n", 2, "quotation"},
		{"words in a comment that CoreDNS reads", ".:53 {\n    kubernetes cluster.local#no comment\n}\n", 2, "space before #"},
		{"words after a quotation", ".:53 {\n    kubernetes \"cluster.local\"x\n}\n", 2, "after a quotation"},
		{"not UTF-8", ".:53 {\n    kubernetes cluster.local # \xff\n}\n", 0, "UTF-8"},
		{"forwarded elsewhere", "clusterset.local:53 {\n    forward . 10.96.0.99\n}\n.:53 {\n    kubernetes cluster.local\n}\n", 1, "remove that block"},
		{"keyless", "{\n    kubernetes cluster.local\n}\n", 1, "begin each server block"},
		{"comma at the end", "cluster.local,", 1, "a zone is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse(tt.in)
			if err == nil {
				_, _, err = c.Add()
			}
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if refusal.Line != tt.line || refusal.Remedy == "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q in line %d, want %q in line %d", err, refusal.Line, tt.want, tt.line)
			}
		})
	}
}

// What a human changed meanwhile stays, and what is still ours goes.
func TestRemoveAfterChanges(t *testing.T) {
	const before = ".:53 {\n    kubernetes cluster.local in-addr.arpa {\n        pods insecure\n    }\n    cache 30\n    reload\n}\n"
	after, added := add(t, before)
	tests := []struct {
		name     string
		old, new string // changed by hand in what Add made of it
		want     string
	}{
		{"lines above", ".:53 {\n", "# a note\n\n.:53 {\n    errors\n", strings.Replace(before, ".:53 {\n", "# a note\n\n.:53 {\n    errors\n", 1)},
		{"a zone after ours", "clusterset.local {\n", "clusterset.local ip6.arpa {\n", strings.Replace(before, "in-addr.arpa", "in-addr.arpa ip6.arpa", 1)},
		{"a zone before ours", "in-addr.arpa clusterset", "in-addr.arpa ip6.arpa clusterset", strings.Replace(before, "in-addr.arpa", "in-addr.arpa ip6.arpa", 1)},
		{"another indent", "        multicluster", "\tmulticluster", before},
		{"a zone beside ours", "multicluster clusterset.local", "multicluster fleet.example clusterset.local",
			strings.Replace(before, "        pods", "        multicluster fleet.example\n        pods", 1)},
		{"more in braces that are ours", "        disable denial", "        prefetch 2\n        disable denial",
			strings.Replace(before, "cache 30\n", "cache 30 {\n        prefetch 2\n    }\n", 1)},
		{"ours taken out", "        multicluster clusterset.local\n", "", before},
		{"all replaced", after, "other:53 {\n    whoami\n}\n", "other:53 {\n    whoami\n}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(after, tt.old, tt.new, 1)
			if changed == after {
				t.Fatal("the test changes nothing")
			}
			got, err := Remove(changed, added)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Taking the zone away would make CoreDNS refuse a Corefile in which `multicluster` is found no
// more.
func TestRemoveRefuses(t *testing.T) {
	after, added := add(t, ".:53 {\n    kubernetes cluster.local\n}\n")
	changed := strings.Replace(after, "multicluster", "multicluster clusterset.local.\n        multicluster", 1)
	_, err := Remove(changed, added)
	if err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("got %v, want a refusal that names line 3", err)
	}
}

func TestReloads(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   bool
	}{
		{".:53 {\n    reload 10s\n}\n", true},
		{"(common) {\n    reload\n}\n.:53 {\n    import common\n}\n", true},
		{".:53 {\n    hosts {\n        reload 15s\n    }\n}\n", false},
		{".:53 {\n    # reload\n    errors\n}\n", false},
	} {
		c, err := Parse(tt.source)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Reloads(); got != tt.want {
			t.Errorf("%q: got %v", tt.source, got)
		}
	}
}

func FuzzAdd(f *testing.F) {
	for _, pattern := range []string{"testdata/*.in", "testdata/*.golden"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, source string) {
		c, err := Parse(source)
		if err != nil {
			return
		}
		if readsFiles(source) {
			return // the other parser would open them
		}
		if check(source) != nil {
			return // CoreDNS refuses it as it is; it is not made so again
		}
		if _, err := caddyfile.Parse("Corefile", strings.NewReader(source), nil); err != nil {
			return
		}
		text, added, err := c.Add()
		if err != nil {
			return
		}
		if _, err := caddyfile.Parse("Corefile", strings.NewReader(text), nil); err != nil {
			t.Fatalf("CoreDNS's parser refuses it: %v\n%s", err, text)
		}
		if again, more := add(t, text); again != text || len(more) > 0 {
			t.Fatalf("a second time adds %v", more)
		}
		if back, err := Remove(text, added); err != nil || back != source {
			t.Fatalf("after removal, error %v:\n%q\nwant\n%q", err, back, source)
		}
		// A change by hand: the removal may refuse, and never panics.
		for i := range added {
			_, _ = Remove(strings.Replace(text, added[i].Text, "", 1), added)
			_, _ = Remove(text, append(added[i:len(added):len(added)], Addition{Text: source}))
		}
	})
}

func readsFiles(source string) bool {
	return strings.Contains(source, "import") || strings.Contains(source, "{$") || strings.Contains(source, "{%")
}
