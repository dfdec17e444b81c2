package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Profiles show what is in memory, tokens too.
func TestValidateProfileAddress(t *testing.T) {
	for _, tt := range []struct {
		address string
		want    bool
	}{
		{"", true}, {"127.0.0.1:6060", true}, {"[::1]:6060", true},
		{":6060", false}, {"0.0.0.0:6060", false}, {"10.0.0.1:6060", false}, {"127.0.0.1", false}, {"localhost:6060", false},
	} {
		o := processOptions{namespace: "tombolo-system", listenAddress: ":7473", profileAddress: tt.address}
		if err := o.validate(); (err == nil) != tt.want {
			t.Errorf("%q: got error %v, want valid %v", tt.address, err, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	t.Setenv("NODE_NAME", "")
	t.Setenv("KUBECONFIG", "/nonexistent")
	for _, tt := range []struct {
		name string
		args []string
		want string // in the error
	}{
		{"operator without a namespace", []string{"operator"}, "--namespace is empty: set it, or POD_NAMESPACE"},
		{"no namespace's name", []string{"operator", "--namespace", "A b"}, `--namespace "A b": `},
		{"no port", []string{"operator", "--namespace", "a", "--listen-address", "localhost"}, `--listen-address "localhost": want host:port or :port`},
		{"gateway without a node", []string{"gateway"}, "--node-name or NODE_NAME"},
		{"gateway without a port", []string{"gateway", "--node-name", "a", "--listen-address", "localhost"}, `--listen-address "localhost": want`},
		{"gateway's profiles", []string{"gateway", "--node-name", "a", "--profile-address", ":6060"}, `--profile-address ":6060": want a loopback address`},
		{"dataplane without a node", []string{"dataplane"}, "--node-name or NODE_NAME"},
		{"kube-proxy", []string{"dataplane", "--node-name", "a", "--kube-proxy-address", "x"}, `--kube-proxy-address "x": want host:port`},
		{"debug", []string{"dataplane", "--node-name", "a", "--debug-address", ":7476"}, `--debug-address ":7476": want a loopback address`},
		{"two tasks", []string{"dataplane", "--init", "--cleanup"}, "none of the others can be"},
		{"an argument", []string{"gateway", "now"}, `unknown command "now"`},
	} {
		root := newRootCommand()
		root.SetArgs(tt.args)
		if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestFlags: what the processes share has one name and one text in all of them.
func TestFlags(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	usage := map[string]string{}
	for _, tt := range []struct{ name, address, namespace string }{
		{"operator", ":7473", ""}, {"gateway", ":7474", "tombolo-system"}, {"dataplane", ":7475", "tombolo-system"},
	} {
		c, _, err := newRootCommand().Find([]string{tt.name})
		if err != nil {
			t.Fatal(err)
		}
		if address, namespace := c.Flags().Lookup("listen-address"), c.Flags().Lookup("namespace"); address.DefValue != tt.address || namespace.DefValue != tt.namespace {
			t.Errorf("%s: defaults %q and %q, want %q and %q", tt.name, address.DefValue, namespace.DefValue, tt.address, tt.namespace)
		}
		for _, name := range []string{"namespace", "listen-address", "profile-address", "zap-log-level"} {
			text := c.Flags().Lookup(name).Usage
			if before, ok := usage[name]; ok && before != text {
				t.Errorf("--%s is %q and %q", name, before, text)
			}
			usage[name] = text
		}
		checkHelp(t, c)
	}
}

// checkHelp: --help names every flag, and says what each is for.
func checkHelp(t *testing.T, c *cobra.Command) {
	t.Helper()
	var out bytes.Buffer
	c.SetOut(&out)
	if err := c.Help(); err != nil {
		t.Fatal(err)
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Usage == "" || !strings.Contains(out.String(), "--"+f.Name) {
			t.Errorf("%s --help does not explain --%s", c.Name(), f.Name)
		}
	})
}
