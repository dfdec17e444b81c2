//go:build integration

package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/dns"
	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// server is a real CoreDNS on loopback, which reads the cluster as its own account.
type server struct {
	dir  string
	port string
	runs func(corefile string) string // the Corefile in the ConfigMap, as it is run here
}

// startCoreDNS starts CoreDNS with a Corefile as it is in the ConfigMap. Only where it listens, how
// it reaches the API server, and how soon it looks at the file again are changed.
func (e *env) startCoreDNS(t *testing.T, corefile string) *server {
	t.Helper()
	bin, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: t.TempDir(), port: freePort(t)}
	kubeconfig := e.kubeconfigOf(t, s.dir, "coredns")
	replacer := strings.NewReplacer(".:53 {", ".:"+s.port+" {\n    bind 127.0.0.1",
		"pods insecure", "pods insecure\n       kubeconfig "+kubeconfig+" default",
		"prometheus :9153", "", "ready", "", "health {\n       lameduck 5s\n    }", "", "    loop\n", "", "    reload", "    reload 2s 1s")
	s.runs = replacer.Replace
	s.write(t, corefile)
	coreDNS := exec.Command(filepath.Join(bin, "coredns"), "-conf", s.file())
	output, err := os.Create(filepath.Join(s.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	coreDNS.Stdout, coreDNS.Stderr = output, output
	if err := coreDNS.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		coreDNS.Process.Kill() // the test is over
		coreDNS.Wait()         // killed
		if text, err := os.ReadFile(output.Name()); err == nil && t.Failed() {
			t.Logf("CoreDNS says:\n%s", text)
		}
	})
	return s
}

func (s *server) file() string { return filepath.Join(s.dir, "Corefile") }

// write does what the kubelet does when the ConfigMap has changed.
func (s *server) write(t *testing.T, corefile string) {
	t.Helper()
	temporary := s.file() + ".new"
	if err := os.WriteFile(temporary, []byte(s.runs(corefile)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, s.file()); err != nil {
		t.Fatal(err)
	}
}

// kubeconfigOf is an admin's, used in the name of an account of kube-system.
func (e *env) kubeconfigOf(t *testing.T, dir, account string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(e.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	current := config.Contexts[config.CurrentContext]
	user := config.AuthInfos[current.AuthInfo]
	user.Impersonate = "system:serviceaccount:kube-system:" + account
	user.ImpersonateGroups = []string{"system:serviceaccounts", "system:authenticated"}
	config.Contexts["default"] = current
	config.CurrentContext = "default"
	file := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, port, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// dig asks for a name and returns the status and what the answers hold, sorted; of SRV records port
// and target.
func (s *server) dig(ctx context.Context, name, kind string) (status string, answers []string, err error) {
	out, err := exec.CommandContext(ctx, "dig", "@127.0.0.1", "-p", s.port, "+tries=1", "+time=2", "+noall", "+comments", "+answer", name, kind).CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("dig %s %s: %w: %s", name, kind, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if _, rest, found := strings.Cut(line, "status: "); found {
			status, _, _ = strings.Cut(rest, ",")
		}
		if fields := strings.Fields(line); len(fields) > 4 && fields[3] == kind {
			if kind == "SRV" {
				fields = slices.Delete(fields, 4, 6) // priority and weight
			}
			answers = append(answers, strings.Join(fields[4:], " "))
		}
	}
	slices.Sort(answers)
	return status, slices.Compact(answers), nil
}

// eventually wants those answers; none: that the name does not exist.
func (s *server) eventually(t *testing.T, name, kind string, want ...string) {
	t.Helper()
	members.Eventually(t, func() error {
		status, got, err := s.dig(t.Context(), name, kind)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" || (len(want) == 0) != (status == "NXDOMAIN") {
			return fmt.Errorf("%s %s: %s (-want +got):\n%s", name, kind, status, diff)
		}
		return nil
	})
}

// The right that CoreDNS's own manifests give its account.
func (e *env) accountOfCoreDNS(t *testing.T) {
	t.Helper()
	read := []string{"list", "watch"}
	e.Make(t, &rbacv1.ClusterRole{
		ObjectMeta: members.Meta("", "system:coredns"),
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"services", "pods", "namespaces"}, Verbs: read},
			{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read},
		},
	})
	e.Make(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: members.Meta("", "system:coredns"),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:coredns"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "kube-system", Name: "coredns"}},
	})
}

// serviceImport has the port http 80.
func serviceImport(name string, kind mcsv1beta1.ServiceImportType, ips ...string) *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{
		ObjectMeta: members.Meta("shop", name),
		Spec: mcsv1beta1.ServiceImportSpec{
			Type: kind, IPs: ips, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
}

// importedSlice is one as package endpointslice makes it: db-0 and a nameless endpoint are ready,
// db-1 is not.
func importedSlice(name, cluster string, addresses ...string) *discoveryv1.EndpointSlice {
	s := members.Slice("shop", cluster+"."+name, "", addresses...)
	s.Labels = map[string]string{
		v1alpha1.LabelServiceName: name, v1alpha1.LabelSourceCluster: cluster, discoveryv1.LabelManagedBy: v1alpha1.ManagedBy,
	}
	for i := range s.Endpoints {
		if i < len(addresses)-1 {
			s.Endpoints[i].Hostname = ptr.To(fmt.Sprintf("db-%d", i))
		}
		s.Endpoints[i].Conditions.Ready = ptr.To(i != 1)
	}
	return s
}

// A real CoreDNS takes up what the operator made of its Corefile, without a restart, and answers as
// the Multi-Cluster Services API's DNS specification says.
func TestAnswers(t *testing.T) {
	if _, err := exec.LookPath("dig"); err != nil {
		t.Fatal(errors.Join(err, errors.New("install bind9-dnsutils")))
	}
	e := newEnv(t)
	e.accountOfCoreDNS(t)
	e.coreDNS(t, kubeadms, "coredns:v1.13.0")
	e.MakeNamespace(t, "shop", nil)
	local := members.Service("shop", "local")
	local.Spec.ClusterIP = "10.96.0.77"
	e.Make(t, local)
	e.Make(t, serviceImport("web", mcsv1beta1.ClusterSetIP, "244.0.0.7", "fd00::7"))
	e.Make(t, serviceImport("db", mcsv1beta1.Headless))
	e.Make(t, importedSlice("web", "west", "10.2.0.5"))
	e.Make(t, importedSlice("db", "west", "10.2.0.7", "10.2.0.8", "10.2.0.9"))
	e.Make(t, importedSlice("db", "east", "10.1.0.7", "10.1.0.8", "10.1.0.9"))

	s := e.startCoreDNS(t, e.config(t).Data["Corefile"])
	s.eventually(t, "local.shop.svc.cluster.local", "A", "10.96.0.77")
	e.r.Ask = func(ctx context.Context, server, name string) error {
		if server != "10.96.0.10" {
			return fmt.Errorf("%s was asked", server)
		}
		return dns.AskAt(ctx, "127.0.0.1:"+s.port, name)
	}
	kubeDNS := members.Service("kube-system", "kube-dns")
	kubeDNS.Labels, kubeDNS.Spec.ClusterIP = map[string]string{"k8s-app": "kube-dns"}, "10.96.0.10"
	e.Make(t, kubeDNS)
	e.join(t)
	want(t, e.step(t), "False", "NotAnswering", "fails on the question for TXT dns-version.clusterset.local", "restart it")
	s.write(t, e.config(t).Data["Corefile"])
	members.Eventually(t, func() error {
		if c := e.step(t); c.Status != metav1.ConditionTrue {
			return fmt.Errorf("%s: %s", c.Reason, c.Message)
		}
		return nil
	})
	want(t, e.step(t), "True", "Configured", "names resolve")

	const shop = "shop.svc.clusterset.local"
	s.eventually(t, "web."+shop, "A", "244.0.0.7")
	s.eventually(t, "web."+shop, "AAAA", "fd00::7")
	s.eventually(t, "_http._tcp.web."+shop, "SRV", "80 web."+shop+".")
	s.eventually(t, "db."+shop, "A", "10.1.0.7", "10.1.0.9", "10.2.0.7", "10.2.0.9")
	s.eventually(t, "db-0.west.db."+shop, "A", "10.2.0.7")
	s.eventually(t, "10-1-0-9.east.db."+shop, "A", "10.1.0.9")
	s.eventually(t, "_http._tcp.db."+shop, "SRV",
		"8080 10-1-0-9.east.db."+shop+".", "8080 10-2-0-9.west.db."+shop+".",
		"8080 db-0.east.db."+shop+".", "8080 db-0.west.db."+shop+".")
	for _, none := range []string{
		"db-1.west.db.", // not ready
		"west.web.",     // the specification: no names of clusters
		"west.db.", "db-0.north.db.", "local.", "web.shop.", "_https._tcp.web.",
	} {
		s.eventually(t, none+shop, "A")
	}
	s.eventually(t, "local.shop.svc.cluster.local", "A", "10.96.0.77")
	s.eventually(t, "web.shop.svc.cluster.local", "A")

	// Neither that it did not exist nor that it did is kept for the hour that the cache would.
	s.eventually(t, "late."+shop, "A")
	late := serviceImport("late", mcsv1beta1.ClusterSetIP, "244.0.0.8")
	e.Make(t, late)
	s.eventually(t, "late."+shop, "A", "244.0.0.8")
	if err := e.Delete(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "late."+shop, "A")

	e.setMode(t, v1alpha1.DNSManual)
	e.step(t)
	s.write(t, e.config(t).Data["Corefile"])
	members.Eventually(t, func() error {
		if status, _, err := s.dig(t.Context(), "web."+shop, "A"); err != nil || status == "NOERROR" {
			return fmt.Errorf("the zone is still served: %s, error %w", status, err)
		}
		return nil
	})
	s.eventually(t, "local.shop.svc.cluster.local", "A", "10.96.0.77")
}
