//go:build e2e

package plugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// testComplete: kubectl itself proposes names of the cluster, by the program of the release's
// archive.
func testComplete(t *testing.T, s *site) {
	folder, err := filepath.Abs("../../cmd/kubectl-tombolo")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", strings.Join([]string{folder, filepath.Dir(s.program), os.Getenv("PATH")}, string(os.PathListSeparator)))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"tombolo", "export", "-n", "plugin", "--context", "east", ""}, "web"},
		{[]string{"tombolo", "explain", "-n", "plugin", "--context", "west", ""}, "web"},
		{[]string{"tombolo", "member", "remove", "--context", "hub", ""}, "west"},
		{[]string{"tombolo", "export", "web", "--context", "east", "--to", ""}, "west"},
		{[]string{"tombolo", "gather", "--context", "west", "--nodes", ""}, strings.Split(s.gateways(), ",")[0]},
	} {
		out, err := shell.Run(t.Context(), "", "kubectl", append([]string{"__complete"}, tt.args...)...)
		if err != nil {
			t.Error(err)
			continue
		}
		found := false
		for _, line := range strings.Split(out, "\n") {
			found = found || line == tt.want
		}
		if !found {
			t.Errorf("kubectl %s proposes %q, without %s", strings.Join(tt.args, " "), out, tt.want)
		}
	}
}
