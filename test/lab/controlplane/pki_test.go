package controlplane

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

// parse returns the certificate of a pair, having checked that the key is its own.
func parse(t *testing.T, pair KeyPair) *x509.Certificate {
	t.Helper()
	if _, err := tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pair.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestIssue(t *testing.T) {
	ca, err := newAuthority("east")
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAuthority("west")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name       string
		in         subject
		want       string // host to be valid for; "" for a client only
		wantServer bool
	}{
		{"client", subject{name: "system:node:east-1", groups: []string{"system:nodes"}}, "", false},
		{"server by name", subject{name: "s", hosts: []string{"localhost", "10.0.0.1"}}, "localhost", true},
		{"server by IPv4", subject{name: "s", hosts: []string{"localhost", "10.0.0.1"}}, "10.0.0.1", true},
		{"server by IPv6", subject{name: "s", hosts: []string{"fd00::1"}}, "fd00::1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pair, err := ca.issue(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			cert := parse(t, pair)
			if diff := cmp.Diff(tt.in.groups, cert.Subject.Organization); diff != "" || cert.Subject.CommonName != tt.in.name {
				t.Errorf("subject %s, groups (-want +got):\n%s", cert.Subject, diff)
			}
			if err := verify(cert, ca, tt.want, x509.ExtKeyUsageClientAuth); err != nil {
				t.Errorf("as a client: %v", err)
			}
			if err := verify(cert, ca, tt.want, x509.ExtKeyUsageServerAuth); (err == nil) != tt.wantServer {
				t.Errorf("as a server: %v", err)
			}
			if verify(cert, other, tt.want, x509.ExtKeyUsageClientAuth) == nil {
				t.Error("another cluster accepts it")
			}
		})
	}
}

func verify(cert *x509.Certificate, ca *authority, host string, usage x509.ExtKeyUsage) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.pair.Cert)
	_, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func TestServerNames(t *testing.T) {
	c := &Cluster{addresses: []netip.Addr{netip.MustParseAddr("192.168.127.254"), netip.MustParseAddr("fd00::254")}, config: ClusterConfig{ServiceCIDRs: []netip.Prefix{
		netip.MustParsePrefix("10.101.0.0/16"), netip.MustParsePrefix("fd00:101::/112"),
	}}}
	want := []string{
		"localhost", "127.0.0.1",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"192.168.127.254", "fd00::254",
		"10.101.0.1", "fd00:101::1",
	}
	if diff := cmp.Diff(want, c.serverNames()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestKubeconfig(t *testing.T) {
	data, err := kubeconfig(
		access{context: "east", server: "https://127.0.0.1:1", ca: []byte("ca"), pair: KeyPair{Cert: []byte("c"), Key: []byte("k")}},
		access{context: "hub", server: "https://127.0.0.1:2"},
	)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	if config.CurrentContext != "east" {
		t.Errorf("current context %q, want east", config.CurrentContext)
	}
	rest, err := clientcmd.NewNonInteractiveClientConfig(*config, "hub", nil, nil).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	if rest.Host != "https://127.0.0.1:2" {
		t.Errorf("hub's server %q", rest.Host)
	}
}

func TestConfigWithDefaults(t *testing.T) {
	tests := []struct {
		name string
		in   Config
		want string
	}{
		{"no cluster", Config{}, "no cluster given"},
		{"no name", Config{Clusters: []ClusterConfig{{}}}, `cluster name "" is empty or given twice`},
		{"name twice", Config{Clusters: []ClusterConfig{{Name: "a"}, {Name: "a"}}}, `cluster name "a" is empty or given twice`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Bin = "/bin"
			if _, err := tt.in.withDefaults(); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
