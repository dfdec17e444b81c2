package node

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// valid returns a Config with all that is required.
func valid() Config {
	return Config{
		Name: "east-1", Cluster: "east",
		Addresses:    []netip.Prefix{netip.MustParsePrefix("192.168.127.11/24")},
		Gateways:     []netip.Addr{netip.MustParseAddr("192.168.127.1")},
		APIServer:    "https://192.168.127.254:6443",
		Bin:          "/bin",
		Dir:          "/nodes/east-1",
		Token:        "secret",
		PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		SandboxImage: "pause",
	}
}

func TestReadFillsInDefaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	text, err := json.Marshal(valid())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := valid()
	want.ClusterDomain, want.CNI, want.ProxyMode = "cluster.local", CNIRouted, ProxyIPTables
	want.Resolvers = want.Gateways
	compare := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, got, compare, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("Read (-want +got):\n%s", diff)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		want  string
		spoil func(*Config)
	}{
		{"name is missing", func(c *Config) { c.Name = "" }},
		{"cluster is missing", func(c *Config) { c.Cluster = "" }},
		{"addresses is missing", func(c *Config) { c.Addresses = nil }},
		{"apiServer is missing", func(c *Config) { c.APIServer = "" }},
		{"bin is missing", func(c *Config) { c.Bin = "bin" }},
		{"dir is missing", func(c *Config) { c.Dir = "" }},
		{"token is missing", func(c *Config) { c.Token = "" }},
		{"podCIDRs is missing", func(c *Config) { c.PodCIDRs = nil }},
		{"sandboxImage is missing", func(c *Config) { c.SandboxImage = "" }},
		{`proxy mode "ebpf"`, func(c *Config) { c.ProxyMode = "ebpf" }},
		{`CNI "weave"`, func(c *Config) { c.CNI = "weave" }},
	} {
		t.Run(tt.want, func(t *testing.T) {
			c := valid()
			c.setDefaults()
			if err := c.Validate(); err != nil {
				t.Fatalf("before: %v", err)
			}
			tt.spoil(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate: %v, want %q", err, tt.want)
			}
		})
	}
}
