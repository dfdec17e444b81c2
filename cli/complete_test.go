package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

const kubeconfig = `{apiVersion: v1, kind: Config, current-context: east,
contexts: [{name: west, context: {cluster: a, user: a}}, {name: east, context: {cluster: a, user: a}}],
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: a, user: {}}]}`

func TestComplete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
	for typed, want := range map[string]string{
		"status --context ":            "east west",
		"status --contexts ":           "east west",
		"status --contexts west,e":     "west,east west,west",
		"member add --member-context ": "east west",
		"export ":                      "", // the cluster does not answer
		"join ":                        "",
		"ver":                          "verify version",
	} {
		var out bytes.Buffer
		root := NewCommand("dev", genericiooptions.IOStreams{Out: &out, ErrOut: &bytes.Buffer{}})
		root.SetArgs(append([]string{"__completeNoDesc"}, strings.Split(typed, " ")...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range strings.Fields(out.String()) {
			if !strings.HasPrefix(line, ":") {
				got = append(got, line)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}
