//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// serving is a scene with pods. east has web (2) and the StatefulSet db (2), and late, which is
// never ready; west has web (1).
type serving struct {
	*scene
	east, west, db, late []corev1.Pod
}

// TestServing asks Services of all kinds in both clusters. They share their pods, since pods are
// what takes time.
func TestServing(t *testing.T) {
	s := &serving{scene: newScene(t, "serving")}
	late := deployment("late", 1)
	late.Spec.Template.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
		TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt(1)},
	}}
	s.create(t, s.scene.east, deployment("web", 2), statefulSet("db", 2), late)
	s.create(t, s.scene.west, deployment("web", 1))
	s.east = s.running(t, s.scene.east, "web", 2)
	s.db = s.running(t, s.scene.east, "db", 2)
	s.late = s.running(t, s.scene.east, "late", 1)
	s.west = s.running(t, s.scene.west, "web", 1)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *serving)
	}{
		{"ClusterSetIP", testClusterSetIP},
		{"only clusters that export", testOnlyExporting},
		{"each port where it is exposed", testPortsWhereExposed},
		{"headless", testHeadless},
		{"without selector", testWithoutSelector},
		{"session affinity", testAffinity},
		{"not ready", testNotReady},
		{"traffic policy", testTrafficPolicy},
		{"derived Service", testDerivedService},
	} {
		t.Run(tt.name, func(t *testing.T) { t.Parallel(); tt.test(t, s) })
	}
}

func names(pods ...corev1.Pod) []string {
	var all []string
	for _, p := range pods {
		all = append(all, p.Name)
	}
	return slices.Sorted(slices.Values(all))
}

func addresses(pods ...corev1.Pod) []string {
	var all []string
	for _, p := range pods {
		all = append(all, podIPs(p)...)
	}
	return all
}

// patience is how many seconds one request may take. It bounds an attempt and promises nothing: a
// request that takes longer than usual on a busy machine must not spoil those before it.
const patience = "20"

// asked returns which pods answer n requests of a cluster's pod of tools over HTTP and an IP family,
// sorted, each once. Each request has a connection of its own. They share a process: in a user-mode kernel to
// start one costs more than the request.
func (s *serving) asked(ctx context.Context, c *cluster, n int, url string, family corev1.IPFamily) ([]string, error) {
	curl := []string{"curl", flag(family), "-sS", "--fail", "--fail-early", "--max-time", patience, "--header", "Connection: close"}
	out, err := s.tools(ctx, c, append(curl, slices.Repeat([]string{url}, n)...)...)
	if err != nil {
		return nil, err
	}
	return firstWords(out), nil
}

func firstWords(lines string) []string {
	var all []string
	for line := range strings.Lines(lines) {
		if fields := strings.Fields(line); len(fields) > 0 {
			all = append(all, fields[0])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// answered returns an error unless just these pods answer, over each IP family: all of them, and no
// other.
func (s *serving) answered(ctx context.Context, c *cluster, url string, want []string) error {
	for _, family := range s.families {
		got, err := s.asked(ctx, c, 6*len(want), url, family)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s: %s was answered over %s by %v, want %v", c.name, url, family, got, want)
		}
	}
	return nil
}

// url is without the name's last dot: curl sends it as the Host header.
func (s *serving) url(service string, port int) string {
	return fmt.Sprintf("http://%s:%d/", strings.TrimSuffix(s.clusterset(service), "."), port)
}

// A Service with several ports, over TCP and UDP: its names, what must have none, its answers, and
// its end.
func testClusterSetIP(t *testing.T, s *serving) {
	local := service("front", "web", tcp("http", 80, httpPort), tcp("admin", 81, httpPort), udp("talk", 53, udpPort))
	local.Spec.Ports[1].TargetPort = intstr.FromString("http")
	before := question{s.clusterset("front"), "A"}
	if err := s.resolves(t.Context(), s.scene.west, map[question]answer{before: nxdomain}); err != nil {
		t.Fatal(err)
	}
	s.create(t, s.scene.east, local, export("front"))
	ownName := strings.Join([]string{"front", s.namespace, "svc.cluster.local."}, ".")
	for _, c := range s.both() {
		vips := awaitImport(t, s.scene, c, "front", "east").Spec.IPs
		name := s.clusterset("front")
		eventually(t, within, func(ctx context.Context) error {
			want := map[question]answer{
				{s.clusterset("front", "_http", "_tcp"), "SRV"}:  found("80 " + name),
				{s.clusterset("front", "_admin", "_tcp"), "SRV"}: found("81 " + name),
				{s.clusterset("front", "_talk", "_udp"), "SRV"}:  found("53 " + name),
				{s.clusterset("front", "east"), "A"}:             nxdomain,
				{s.clusterset("front", "west"), "A"}:             nxdomain,
				{s.clusterset("nobody"), "A"}:                    nxdomain,
				{ownName, "A"}:                                   nxdomain, // a Service of another cluster
			}
			put(want, name, vips...)
			if c == s.scene.east {
				put(want, ownName, local.Spec.ClusterIPs...)
			}
			return s.resolves(ctx, c, want)
		})
		for _, port := range []int{80, 81} {
			eventually(t, podsWithin, func(ctx context.Context) error { return s.answered(ctx, c, s.url("front", port), names(s.east...)) })
		}
		eventually(t, within, func(ctx context.Context) error {
			return s.talks(ctx, c, strings.TrimSuffix(name, "."), names(s.east...))
		})
	}

	s.remove(t, s.scene.east, export("front"))
	awaitNoImport(t, s.scene, "front")
	for _, c := range s.both() {
		eventually(t, within, func(ctx context.Context) error {
			return s.resolves(ctx, c, map[question]answer{before: nxdomain})
		})
	}
}

// talks returns an error unless one of these pods answers over UDP, in each IP family.
func (s *serving) talks(ctx context.Context, c *cluster, host string, pods []string) error {
	for _, family := range s.families {
		out, err := s.tools(ctx, c, "sh", "-c", fmt.Sprintf("echo hello | nc %s -u -w 2 %s 53", flag(family), host))
		if err != nil {
			return err
		}
		if got := firstWords(out); len(got) != 1 || !slices.Contains(pods, got[0]) {
			return fmt.Errorf("%s: over UDP and %s %s was answered by %q, want one of %v", c.name, family, host, out, pods)
		}
	}
	return nil
}

// Both clusters have the Service and one exports it: the clusterset's name never leads to the
// other's pods.
func testOnlyExporting(t *testing.T, s *serving) {
	s.create(t, s.scene.west, service("mine", "web", tcp("http", 80, httpPort)))
	s.create(t, s.scene.east, service("mine", "web", tcp("http", 80, httpPort)), export("mine"))
	for _, c := range s.both() {
		awaitImport(t, s.scene, c, "mine", "east")
		eventually(t, podsWithin, func(ctx context.Context) error { return s.answered(ctx, c, s.url("mine", 80), names(s.east...)) })
	}
	s.create(t, s.scene.west, export("mine"))
	all := names(append(slices.Clone(s.east), s.west...)...)
	for _, c := range s.both() {
		awaitImport(t, s.scene, c, "mine", "east", "west")
		eventually(t, podsWithin, func(ctx context.Context) error { return s.answered(ctx, c, s.url("mine", 80), all) })
	}
	s.remove(t, s.scene.east, export("mine"))
	for _, c := range s.both() {
		awaitImport(t, s.scene, c, "mine", "west")
		eventually(t, within, func(ctx context.Context) error { return s.answered(ctx, c, s.url("mine", 80), names(s.west...)) })
	}
}

// Clusters that disagree about ports are asked only on those that they expose.
func testPortsWhereExposed(t *testing.T, s *serving) {
	// The name is the same, the number is not: east's stays. The name is another: both are there.
	for _, tt := range []struct {
		name    string
		western corev1.ServicePort
	}{{"same-name", tcp("http", 8000, httpPort)}, {"other-name", tcp("www", 8000, httpPort)}} {
		s.create(t, s.scene.east, service(tt.name, "web", tcp("http", 80, httpPort)), export(tt.name))
		awaitImport(t, s.scene, s.scene.east, tt.name, "east")
		s.create(t, s.scene.west, service(tt.name, "web", tt.western), export(tt.name))
	}
	for _, c := range s.both() {
		awaitImport(t, s.scene, c, "same-name", "east", "west")
		awaitImport(t, s.scene, c, "other-name", "east", "west")
		eventually(t, podsWithin, func(ctx context.Context) error {
			return errors.Join(
				s.answered(ctx, c, s.url("same-name", 80), names(s.east...)),
				s.answered(ctx, c, s.url("other-name", 80), names(s.east...)),
				s.answered(ctx, c, s.url("other-name", 8000), names(s.west...)),
			)
		})
	}
}

// A headless Service's names are its ready pods, of all clusters that export it; a pod has one of
// its own.
func testHeadless(t *testing.T, s *serving) {
	s.create(t, s.scene.east, headless(service("db", "db", tcp("http", httpPort, httpPort))), export("db"))
	s.create(t, s.scene.west, headless(service("db", "web", tcp("http", httpPort, httpPort))), export("db"))
	for _, c := range s.both() {
		awaitImport(t, s.scene, c, "db", "east", "west")
		want := map[question]answer{
			{s.clusterset("db", "db-0", "west"), "A"}: nxdomain,
			{s.clusterset("db", "db-7", "east"), "A"}: nxdomain,
			{s.clusterset("db", "east"), "A"}:         nxdomain,
			{s.clusterset("db", "west"), "A"}:         nxdomain,
		}
		put(want, s.clusterset("db"), append(addresses(s.db...), addresses(s.west...)...)...)
		var targets []string
		for _, a := range podIPs(s.west[0]) { // it has no hostname, so each address has a name
			own := s.clusterset("db", dashed(a), "west")
			put(want, own, a)
			targets = append(targets, fmt.Sprintf("%d %s", httpPort, own))
		}
		for _, p := range s.db {
			own := s.clusterset("db", p.Name, "east")
			put(want, own, podIPs(p)...)
			targets = append(targets, fmt.Sprintf("%d %s", httpPort, own))
		}
		want[question{s.clusterset("db", "_http", "_tcp"), "SRV"}] = found(targets...)
		eventually(t, within, func(ctx context.Context) error { return s.resolves(ctx, c, want) })
		eventually(t, within, func(ctx context.Context) error {
			host := strings.TrimSuffix(s.clusterset("db", "db-1", "east"), ".")
			return s.answered(ctx, c, fmt.Sprintf("http://%s:%d/", host, httpPort), []string{"db-1"})
		})
	}
}

// The endpoints of a Service without selector are exported as whoever keeps them writes them.
func testWithoutSelector(t *testing.T, s *serving) {
	s.create(t, s.scene.east, append(slicesOf("by-hand", s.east[0]), service("by-hand", "", tcp("http", 80, httpPort)), export("by-hand"))...)
	for _, c := range s.both() {
		awaitImport(t, s.scene, c, "by-hand", "east")
		eventually(t, podsWithin, func(ctx context.Context) error { return s.answered(ctx, c, s.url("by-hand", 80), names(s.east[0])) })
	}
}

// One client stays with one pod.
func testAffinity(t *testing.T, s *serving) {
	for _, c := range s.both() {
		sticky := service("sticky", "web", tcp("http", 80, httpPort))
		sticky.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		s.create(t, c, sticky, export("sticky"))
	}
	for _, c := range s.both() {
		awaitImport(t, s.scene, c, "sticky", "east", "west")
		eventually(t, podsWithin, func(ctx context.Context) error {
			for _, family := range s.families {
				got, err := s.asked(ctx, c, 8, s.url("sticky", 80), family)
				if err == nil && len(got) != 1 {
					err = fmt.Errorf("%s: 8 requests of one client over %s were answered by %v", c.name, family, got)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// A pod that is not ready has no name and gets no request, unless its Service publishes such pods.
// The import is there all the same.
func testNotReady(t *testing.T, s *serving) {
	port := tcp("http", 80, httpPort)
	published := headless(service("published", "late", port))
	published.Spec.PublishNotReadyAddresses = true
	s.create(t, s.scene.east, service("waiting", "late", port), export("waiting"),
		headless(service("hidden", "late", port)), export("hidden"), published, export("published"))
	for _, c := range s.both() {
		vips := awaitImport(t, s.scene, c, "waiting", "east").Spec.IPs
		awaitImport(t, s.scene, c, "hidden", "east")
		awaitImport(t, s.scene, c, "published", "east")
		eventually(t, within, func(ctx context.Context) error {
			want := map[question]answer{{s.clusterset("hidden"), "A"}: nxdomain}
			put(want, s.clusterset("waiting"), vips...)
			put(want, s.clusterset("published"), addresses(s.late...)...)
			return s.resolves(ctx, c, want)
		})
		eventually(t, within, func(ctx context.Context) error {
			for _, family := range s.families {
				out, err := s.tools(ctx, c, "sh", "-c", "curl "+flag(family)+" -s --max-time "+patience+" "+s.url("waiting", 80)+"; echo ended $?")
				if err == nil && !strings.Contains(out, "ended 7") { // 7: refused; 28: no answer
					err = fmt.Errorf("%s: a request over %s to a Service without ready endpoints should be refused: %s", c.name, family, out)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}
