package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// cluster is one cluster of kind.
type cluster struct {
	Name      string
	Pods      string // CIDRs, as kubeadm takes them
	Services  string
	Family    string // ipv4, ipv6 or dual
	ProxyMode string
}

// clusters returns the two that up makes. Their kube-proxies differ, and the first one holds the hub.
// families are their IP families, separated by a comma; one alone is that of both.
func clusters(families string) ([]cluster, error) {
	first, second, two := strings.Cut(families, ",")
	if !two {
		second = first
	}
	all := []cluster{
		{Name: "east", Pods: "10.1.0.0/16,fd00:10:1::/56", Services: "10.101.0.0/16,fd00:10:101::/112", Family: first, ProxyMode: "iptables"},
		{Name: "west", Pods: "10.2.0.0/16,fd00:10:2::/56", Services: "10.102.0.0/16,fd00:10:102::/112", Family: second, ProxyMode: "nftables"},
	}
	for i, c := range all {
		if !slices.Contains([]string{"ipv4", "ipv6", "dual"}, c.Family) {
			return nil, fmt.Errorf("-ip-family %q: allowed are ipv4, ipv6 and dual, or two of them, as in ipv4,dual", families)
		}
		all[i].Pods, all[i].Services = c.ofFamily(c.Pods), c.ofFamily(c.Services)
	}
	if (first == "ipv6") != (second == "ipv6") {
		return nil, fmt.Errorf("-ip-family %q: west reaches the hub in east at the address that its certificate is for, so have ipv6 in both or in none", families)
	}
	return all, nil
}

// ofFamily returns those of two CIDRs, one of each IP family, that the cluster has.
func (c cluster) ofFamily(both string) string {
	four, six, _ := strings.Cut(both, ",")
	switch c.Family {
	case "ipv4":
		return four
	case "ipv6":
		return six
	}
	return both
}

// nodes are the names of the cluster's nodes. The control plane is the gateway, and the worker
// reaches other clusters through it.
func (c cluster) nodes() []string { return []string{c.gateway(), c.Name + "-worker"} }
func (c cluster) gateway() string { return c.Name + "-control-plane" }

// kindConfig is what kind makes a cluster from. The control plane takes pods like the worker. It is
// the only one, so its parts elect no leader: on a busy machine they would lose their Lease, end,
// and wait before they start again. Until then nobody would tell a Service of new pods.
var kindConfig = template.Must(template.New("kind").Parse(`kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: {{ .Name }}
networking:
  ipFamily: {{ .Family }}
  podSubnet: {{ .Pods }}
  serviceSubnet: {{ .Services }}
  kubeProxyMode: {{ .ProxyMode }}
  disableDefaultCNI: {{ .NoCNI }}
nodes:
- role: control-plane
- role: worker
kubeadmConfigPatches:
- |
  kind: InitConfiguration
  nodeRegistration:
    taints: []
- |
  apiVersion: kubeadm.k8s.io/v1beta4
  kind: ClusterConfiguration
  controllerManager:
    extraArgs: [{name: leader-elect, value: "false"}]
  scheduler:
    extraArgs: [{name: leader-elect, value: "false"}]
{{- if .CgroupV1 }}
- "` + acceptCgroupV1 + `"
{{- end }}
`))

// acceptCgroupV1 is a patch for the kubelet, which refuses to run on version 1 of control groups by
// itself.
const acceptCgroupV1 = "{kind: KubeletConfiguration, failCgroupV1: false}"

// cgroupV1 says whether this machine's control groups are of version 1.
func cgroupV1() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err != nil
}

// makeCluster makes a cluster whose nodes run the image. Empty: the image that kind takes by default.
func (t *tool) makeCluster(ctx context.Context, c cluster, image string) error {
	var config strings.Builder
	err := kindConfig.Execute(&config, struct {
		cluster
		NoCNI, CgroupV1 bool
	}{c, ownImage(image) || t.cni != "", cgroupV1()})
	if err != nil {
		return fmt.Errorf("filling in the configuration of kind: %w", err)
	}
	args := []string{"create", "cluster", "--config", "-", "--kubeconfig", t.kubeconfig()}
	if image != "" {
		args = append(args, "--image", image)
	}
	_, err = t.run(ctx, config.String(), "kind", args...)
	return err
}

// existing are the clusters of kind that there are.
func (t *tool) existing(ctx context.Context) ([]string, error) {
	out, err := t.run(ctx, "", "kind", "get", "clusters", "--quiet")
	return strings.Fields(out), err
}

// checkNone returns an error if there is a cluster of kind with the name of one of ours.
func (t *tool) checkNone(ctx context.Context) error {
	existing, err := t.existing(ctx)
	if err != nil {
		return err
	}
	for _, c := range t.clusters {
		if slices.Contains(existing, c.Name) {
			return fmt.Errorf("there is a cluster %s of kind already", c.Name)
		}
	}
	return nil
}

// kubeconfig is a file of its own: the user's is left alone.
func (t *tool) kubeconfig() string { return filepath.Join(t.engine.Dir, "kubeconfig") }

// contexts gives the contexts the names of the clusters, as the lab has them.
func (t *tool) contexts(ctx context.Context) error {
	config := []string{"config", "--kubeconfig", t.kubeconfig()}
	for _, c := range t.clusters {
		if _, err := t.run(ctx, "", "kubectl", slices.Concat(config, []string{"rename-context", "kind-" + c.Name, c.Name})...); err != nil {
			return err
		}
	}
	first := "kind-" + t.clusters[0].Name
	_, err := t.run(ctx, "", "kubectl", slices.Concat(config, []string{"set-context", "hub", "--cluster", first, "--user", first})...)
	return err
}

// chooseImage returns the image of the nodes: what the user wants, or the one that can be had. It is
// empty for kind's own, which kind pulls.
func (t *tool) chooseImage(ctx context.Context) (string, error) {
	switch {
	case t.image == "build":
		return t.buildImage(ctx)
	case t.image != "":
		return t.image, nil
	case dockerHubAnswers(ctx):
		return "", nil
	}
	fmt.Fprintln(os.Stderr, "Docker Hub does not answer: taking a node image that is built here")
	return t.buildImage(ctx)
}

// dockerHubAnswers says whether images can be pulled from where kindest/node is.
func dockerHubAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry-1.docker.io/v2/", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusOK
}

// run runs a program of testbin and returns what it printed. The error holds its complaint.
func (t *tool) run(ctx context.Context, stdin, program string, args ...string) (string, error) {
	dir := t.bin
	if program == "kind" {
		dir = t.kindBin
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, program), args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+t.kubeconfig())
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}
