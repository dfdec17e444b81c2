package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"text/template"
	"time"

	"github.com/tombolo-net/tombolo/hack/kind/node"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// ownImage says whether nodes of this image have no network for pods of their own.
func ownImage(image string) bool { return strings.HasPrefix(image, node.Repository+":") }

// runCNI lets the user's program connect the pods of a cluster.
func (t *tool) runCNI(ctx context.Context, c cluster) error {
	cmd := exec.CommandContext(ctx, t.cni)
	cmd.Env = append(os.Environ(), "CLUSTER="+c.Name, "KUBECONFIG="+t.kubeconfig(), "NODES="+strings.Join(c.nodes(), " "),
		"POD_CIDRS="+strings.ReplaceAll(c.Pods, ",", " "), "PATH="+strings.Join([]string{t.bin, t.kindBin, os.Getenv("PATH")}, ":"))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("connecting the pods of cluster %s with %s: %w", c.Name, t.cni, err)
	}
	return nil
}

// machine is a node, as far as the pods' network needs it.
type machine struct {
	Name      string
	PodCIDRs  []netip.Prefix
	Addresses []netip.Addr // InternalIPs
}

// connectPods does from outside what kind's own CNI does from inside: bridges to the pods of each
// node, routes to those of the others, and masquerading of what leaves the cluster.
func (t *tool) connectPods(ctx context.Context, c cluster) error {
	var machines []machine
	_, err := shell.Eventually(ctx, time.Minute, func(ctx context.Context) (string, error) {
		out, err := t.engine.Docker(ctx, "exec", c.gateway(), "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "get", "nodes", "--output", "json")
		if err != nil {
			return "", err
		}
		machines, err = parseNodes([]byte(out), len(c.nodes()))
		return "", err
	})
	if err != nil {
		return fmt.Errorf("waiting for the CIDRs of cluster %s's nodes: %w", c.Name, err)
	}
	for i, m := range machines {
		script, err := networkScript(m, append(machines[:i:i], machines[i+1:]...), strings.Split(c.Pods, ","))
		if err != nil {
			return err
		}
		if _, err := t.engine.Docker(ctx, "exec", m.Name, "sh", "-e", "-c", script); err != nil {
			return fmt.Errorf("connecting the pods of %s: %w", m.Name, err)
		}
	}
	return nil
}

// parseNodes reads a list of nodes. It wants so many, each with its pods' CIDRs.
func parseNodes(list []byte, want int) ([]machine, error) {
	var nodes struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct{ PodCIDRs []netip.Prefix }
			Status   struct {
				Addresses []struct{ Type, Address string }
			}
		}
	}
	if err := json.Unmarshal(list, &nodes); err != nil {
		return nil, fmt.Errorf("reading the nodes: %w", err)
	}
	if len(nodes.Items) != want {
		return nil, fmt.Errorf("%d nodes are there, not %d", len(nodes.Items), want)
	}
	var machines []machine
	for _, n := range nodes.Items {
		m := machine{Name: n.Metadata.Name, PodCIDRs: n.Spec.PodCIDRs}
		for _, a := range n.Status.Addresses {
			if a.Type != "InternalIP" {
				continue
			}
			address, err := netip.ParseAddr(a.Address)
			if err != nil {
				return nil, fmt.Errorf("reading an address of node %s: %w", m.Name, err)
			}
			m.Addresses = append(m.Addresses, address)
		}
		if len(m.PodCIDRs) == 0 || len(m.Addresses) == 0 {
			return nil, errors.New("node " + m.Name + " has no CIDR for its pods yet")
		}
		machines = append(machines, m)
	}
	return machines, nil
}

// networkTemplate is a script for one node.
var networkTemplate = template.Must(template.New("network").Parse(`
{{- range .Routes }}
ip route replace {{ . }}
{{- end }}
nft -f - <<END
table inet kind-masquerade
delete table inet kind-masquerade
table inet kind-masquerade {
	chain postrouting {
		type nat hook postrouting priority srcnat;
{{- range .Masquerade }}
		{{ . }}
{{- end }}
	}
}
END
cat >/etc/cni/net.d/10-kind.conflist <<END
{{ .CNI }}
END
`))

// networkScript connects the pods of one node with those of the others. pods are the cluster's
// CIDRs.
func networkScript(m machine, others []machine, pods []string) (string, error) {
	var routes, masquerade []string
	for _, other := range others {
		for _, cidr := range other.PodCIDRs {
			for _, via := range other.Addresses {
				if via.Is4() == cidr.Addr().Is4() {
					routes = append(routes, fmt.Sprintf("%s via %s", cidr, via))
				}
			}
		}
	}
	for _, cidr := range pods {
		family := "ip"
		if strings.Contains(cidr, ":") {
			family = "ip6"
		}
		masquerade = append(masquerade, fmt.Sprintf(`%s saddr %s %s daddr != %s oifname "eth0" masquerade`, family, cidr, family, cidr))
	}
	cni, err := json.MarshalIndent(pluginList(m.PodCIDRs), "", "\t")
	if err != nil {
		return "", err
	}
	var script strings.Builder
	err = networkTemplate.Execute(&script, map[string]any{"Routes": routes, "Masquerade": masquerade, "CNI": string(cni)})
	return script.String(), err
}

// pluginList is the CNI configuration of a node: ptp hides no pod from the other nodes.
func pluginList(cidrs []netip.Prefix) any {
	type object = map[string]any
	var ranges [][]object
	var routes []object
	for _, cidr := range cidrs {
		ranges = append(ranges, []object{{"subnet": cidr.String()}})
		everywhere := "0.0.0.0/0"
		if cidr.Addr().Is6() {
			everywhere = "::/0"
		}
		routes = append(routes, object{"dst": everywhere})
	}
	return object{"cniVersion": "1.0.0", "name": "kind", "plugins": []object{
		{"type": "ptp", "mtu": 1500, "ipMasq": false, "ipam": object{"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": ranges, "routes": routes}},
		{"type": "portmap", "capabilities": object{"portMappings": true}},
	}}
}
