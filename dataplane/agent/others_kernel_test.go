//go:build kernel

package agent

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// undone is a node on which another program is at work, and a client.
type undone struct {
	*fixture
	pod *netns.Namespace
	now time.Time
}

func newUndone(t *testing.T, asked v1alpha1.DataplaneBackend) *undone {
	t.Helper()
	worker, pod, gateway, away := newWorker(t)
	echoOn(t, away, 8081)
	f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
		nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), imported("web", "244.0.0.7", web80), slice("web", "east", 8081, "10.1.0.5"))
	s := &undone{fixture: f, pod: pod, now: time.Now()}
	s.ask(asked)
	f.on("gateway", gateway).pass(node.Marked)
	s.tick()
	s.tick()
	return s
}

// ask has the ClusterSet ask for that backend.
func (s *undone) ask(asked v1alpha1.DataplaneBackend) {
	s.t.Helper()
	set := clusterSet()
	set.Spec.Dataplane.Backend = asked
	s.applyStatus(set)
	s.passAt(s.now, node.Marked)
}

// tick has three seconds pass.
func (s *undone) tick() {
	s.t.Helper()
	s.now = s.now.Add(3 * time.Second)
	s.agent.routes.touched.Store(true) // as rtnl.Watch does
	s.passAt(s.now, node.Ticked)
}

// damage has the other program at work, and the agent repair it.
func (s *undone) damage(command string) {
	s.t.Helper()
	args := strings.Fields(command)
	s.node.Run(args[0], args[1:]...)
	s.tick()
	s.tick()
}

func (s *undone) says(when string, want ...string) {
	s.t.Helper()
	got := s.condition()
	for _, words := range want {
		if !strings.Contains(got, words) {
			s.t.Errorf("%s: condition %q, want one with %q", when, got, words)
		}
	}
	if err := s.agent.Ready(); err != nil {
		s.t.Errorf("%s: %v", when, err)
	}
}

// TestIPVSTableContested: when another program has cleaned the IPVS table twice, `auto` gives it up.
// Flows that begin then go on, whatever the other program does. A new process stays with nftables,
// and so does the agent until the ClusterSet asks for a backend by name.
func TestIPVSTableContested(t *testing.T) {
	s := newUndone(t, v1alpha1.BackendAuto)
	s.says("before", "True Ready IPVS serves clusterset IPs (backend auto, ")
	s.damage("ipvsadm -C")
	s.says("after the first time", "True Ready IPVS serves clusterset IPs (backend auto, ")
	s.damage("ipvsadm -C")
	moved := []string{"True IPVSTableContested nftables serves clusterset IPs (backend auto, another program removes", "seen: adding virtual service TCP 244.0.0.7:80"}
	s.says("after the second time", moved...)
	conn := dialFrom(t, s.pod, "244.0.0.7:80")
	for range 3 {
		s.damage("ipvsadm -C")
		if err := conn.works(); err != nil {
			t.Fatalf("a connection made by nftables: %v", err)
		}
	}
	s.says("after five times", moved...)
	s.quiet()
	s.restart()
	s.passAt(s.now, node.Marked)
	s.says("after a restart", moved[0])
	if n := s.writes(); n > 0 {
		t.Errorf("a new process wrote %v objects", n)
	}
	s.now = s.now.Add(24 * time.Hour)
	s.tick()
	s.says("a day later", moved[0])
	s.ask(v1alpha1.BackendNFTables)
	s.says("asked for nftables", "True Ready nftables serves clusterset IPs (backend nftables)")
	s.ask(v1alpha1.BackendAuto)
	s.says("asked for auto again", "True Ready IPVS serves clusterset IPs (backend auto, ")
	if err := conn.works(); err != nil {
		t.Errorf("a connection made by nftables: %v", err)
	}
	s.now = s.now.Add(backend.Lingering)
	s.tick()
	s.quiet()
}

// TestOthersInterfere: what others undo again and again is in the condition, with the remedy, until
// it has been calm for a while. No backend that was asked for by name is given up.
func TestOthersInterfere(t *testing.T) {
	for _, tt := range []struct {
		name     string
		asked    v1alpha1.DataplaneBackend
		commands []string
		serves   string
		says     []string
	}{
		{"ipvs by name", v1alpha1.BackendIPVS, []string{"ipvsadm -C"}, "IPVS", []string{"adding virtual service TCP 244.0.0.7:80", "or set backend to auto"}},
		{"nft flush ruleset, auto", v1alpha1.BackendAuto, []string{"nft flush ruleset"}, "IPVS", []string{"the nftables table tombolo", "let it delete only its own nftables tables"}},
		{"nft flush ruleset, nftables", v1alpha1.BackendNFTables, []string{"nft flush ruleset"}, "nftables",
			[]string{"the nftables table tombolo", "the nftables table tombolo-services"}},
		{"a route", v1alpha1.BackendAuto, []string{"ip route del local 244.0.0.0/16 dev lo table local"}, "IPVS", []string{"244.0.0.0/16", "ManageForeignRoutes=no"}},
		{"a rule", v1alpha1.BackendAuto, []string{"ip rule del pref 7474"}, "IPVS", []string{"7474", "ManageForeignRoutingPolicyRules=no"}},
		{"the VXLAN", v1alpha1.BackendAuto, []string{"ip link del tombolo-vx"}, "IPVS", []string{"tombolo-vx", "let it spare"}},
		{"a sysctl", v1alpha1.BackendAuto, []string{"sysctl -q -w net/ipv4/vs/conntrack=0"}, "IPVS", []string{"sysctl net.ipv4.vs.conntrack", "/etc/sysctl.d"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newUndone(t, tt.asked)
			for times := range 3 {
				for _, command := range tt.commands {
					s.damage(command)
				}
				if times == 0 {
					s.says("after the first time", "True Ready "+tt.serves+" serves")
				}
			}
			s.says("after three times", append(tt.says, "False OthersInterfere another program undoes again and again")...)
			heard := s.heartbeat()
			s.damage(tt.commands[0])
			if got := s.heartbeat(); got != heard {
				t.Errorf("the condition was written again at the fourth time: %s, then %s", heard, got)
			}
			if _, err := s.pod.Ask("tcp", "244.0.0.7:80"); err != nil && !strings.Contains(err.Error(), "timeout") {
				t.Errorf("a new connection: %v", err)
			}
			s.now = s.now.Add(calm)
			s.tick()
			s.says("calm again", "True Ready "+tt.serves+" serves")
		})
	}
}

// heartbeat is when the condition was written.
func (s *undone) heartbeat() string {
	s.t.Helper()
	var self corev1.Node
	if err := s.client.Get(s.t.Context(), client.ObjectKey{Name: "worker"}, &self); err != nil {
		s.t.Fatal(err)
	}
	return self.ResourceVersion
}
