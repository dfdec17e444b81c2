//go:build integration

package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// rule is an alert as Prometheus reads it.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// groups is the spec of a PrometheusRule, which is also a file of rules.
type groups struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// alerts are those of config/prometheus.
func alerts(t *testing.T) groups {
	t.Helper()
	var object struct {
		Spec groups `json:"spec"`
	}
	if err := yaml.Unmarshal(read(t, "config/prometheus/rules.yaml"), &object); err != nil {
		t.Fatal(err)
	}
	return object.Spec
}

// tool is the path of a tool of hack/tool.sh, which builds it if need be.
func tool(t *testing.T, name string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(root, "hack/tool.sh"), name)
	command.Stderr = os.Stderr
	path, err := command.Output()
	if err != nil {
		t.Fatalf("hack/tool.sh %s: %v", name, err)
	}
	return strings.TrimSpace(string(path))
}

// promtool runs it in the folder.
func promtool(t *testing.T, folder string, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), tool(t, "promtool"), args...)
	command.Dir = folder
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

func write(t *testing.T, folder, name string, object any) {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each alert fires in a case of alerts.yaml and is silent in another one, by Prometheus's own tool.
func TestAlerts(t *testing.T) {
	folder, all, cases := t.TempDir(), alerts(t), read(t, "test/metrics/alerts.yaml")
	write(t, folder, "rules.json", all)
	promtool(t, folder, "check", "rules", "rules.json")
	for _, g := range all.Groups {
		for i := range g.Rules {
			for _, what := range []string{" fires", " is silent"} {
				if !strings.Contains(string(cases), "- name: "+g.Rules[i].Alert+what+"\n") {
					t.Errorf("no case in which %s%s", g.Rules[i].Alert, what)
				}
			}
			g.Rules[i].Annotations = nil // the cases would have to repeat them
		}
	}
	write(t, folder, "rules.json", all)
	if err := os.WriteFile(filepath.Join(folder, "alerts.yaml"), cases, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, folder, "test", "rules", "alerts.yaml")
}

// anchor is what a page's heading becomes in an address, as GitHub makes it.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

// Each alert is in the table of docs/metrics.md with its severity, and the remedy is where its
// runbook says.
func TestAlertsAreDocumented(t *testing.T) {
	const pages = "https://github.com/tombolo-net/tombolo/blob/main/docs/"
	page, count := string(read(t, "docs/metrics.md")), 0
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			count++
			address := strings.TrimPrefix(r.Annotations["runbook_url"], pages)
			row := regexp.MustCompile("(?m)^\\| `" + r.Alert + "` \\| " + r.Labels["severity"] + " \\| .*\\]\\(" + regexp.QuoteMeta(address) + "\\) \\|$")
			if !row.MatchString(page) {
				t.Errorf("docs/metrics.md has no row of %s that matches %s", r.Alert, row)
			}
			file, fragment, _ := strings.Cut(address, "#")
			found := false
			for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(read(t, "docs/"+file)), -1) {
				found = found || anchor(heading[1]) == fragment
			}
			if !found {
				t.Errorf("the runbook of %s: docs/%s has no section %q", r.Alert, file, fragment)
			}
		}
	}
	if rows := strings.Count(page, "\n| `Tombolo"); rows != count {
		t.Errorf("docs/metrics.md has %d alerts, and there are %d", rows, count)
	}
}

// Boards and alerts ask only for metrics that there are.
func TestQueriesAskForWhatThereIs(t *testing.T) {
	asked, err := queries()
	if err != nil || len(asked) < 20 {
		t.Fatalf("%d queries, %v", len(asked), err)
	}
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			asked = append(asked, query{"alerts", r.Alert, r.Expr})
		}
	}
	for _, q := range asked {
		names := regexp.MustCompile(`tombolo_[a-z_]+`).FindAllString(q.expr, -1)
		if unknown, err := undocumented(names); err != nil || len(unknown) > 0 {
			t.Errorf("%s, %s: docs/metrics.md has no %v (%v)", q.board, q.panel, unknown, err)
		}
	}
}
