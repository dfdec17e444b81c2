package dataplane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/test/bench/guest"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// The kernel's first namespace is the node, which is a gateway; client is a pod on it. All
// endpoints are in one more, and each of their addresses answers.
const (
	client, away = "client", "away"
	nodeName     = "worker"
	nodeIP       = "192.0.2.1"
	podCIDR      = "10.2.1.0/24"
)

// siteScript makes that network, and the routes that the gateway agent would make.
const siteScript = `
mount -t tmpfs tmpfs /run
ip netns add client
ip netns add away
ip link set lo up
ip link add eth0 type bridge
ip addr add 192.0.2.1/24 dev eth0
ip link set eth0 up
ip link add pod0 type veth peer name eth0 netns client
ip addr add 10.2.1.1/24 dev pod0
ip link set pod0 up
ip link add link0 type veth peer name eth0 netns away
ip addr add 192.168.9.1/30 dev link0
ip link set link0 up
ip route add ` + remoteCIDR + ` via 192.168.9.2 dev link0 table 7473
ip rule add pref 7473 lookup 7473
ip -n client link set lo up
ip -n client addr add 10.2.1.5/24 dev eth0
ip -n client link set eth0 up
ip -n client route add default via 10.2.1.1
ip -n away link set lo up
ip -n away addr add 192.168.9.2/30 dev eth0
ip -n away link set eth0 up
ip -n away route add default via 192.168.9.1
ip -n away route add local ` + remoteCIDR + ` dev lo
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 8192 > /proc/sys/net/core/somaxconn
ip netns exec away sh -c 'echo 8192 > /proc/sys/net/core/somaxconn; echo 8192 > /proc/sys/net/ipv4/tcp_max_syn_backlog; echo 0 > /proc/sys/net/ipv4/tcp_syncookies'
`

func makeSite(ctx context.Context) error {
	_, err := shell.Run(ctx, siteScript, "sh", "-e")
	return err
}

// startInside starts a program in a namespace; end ends it.
func startInside(namespace string, argv ...string) (end func(), err error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	if err := guest.Inside(namespace, cmd.Start); err != nil {
		return nil, fmt.Errorf("starting %s: %w", strings.Join(argv, " "), err)
	}
	return func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // a signal ended it, so its status says nothing
	}, nil
}

func node() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}, Spec: corev1.NodeSpec{PodCIDR: podCIDR, PodCIDRs: []string{podCIDR}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeIP}}}}
}
