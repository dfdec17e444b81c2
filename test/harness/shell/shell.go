// Package shell runs what a user would type: kubectl in a cluster, any command in a pod or on a
// node. The clusters are those of a lab, or others that a kubeconfig names. The demo, the end-to-end
// tests and the benchmarks share it. It knows nothing of tombolo.
package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Shell is the way into running clusters. It is safe for concurrent use.
type Shell struct {
	lab      string // path of the lab's command; empty outside of a lab
	nodePods string // outside of a lab: the namespace of the pods that run commands on nodes
}

// New is the way into the clusters that the environment names, as the lab sets it for the command
// that it runs: LAB_RUN, LAB_BIN and KUBECONFIG; or, for clusters that are not a lab's, NodePodsEnv
// and KUBECONFIG. The error says what is missing.
func New() (Shell, error) {
	if pods := os.Getenv(NodePodsEnv); pods != "" && os.Getenv("KUBECONFIG") != "" {
		return Shell{nodePods: pods}, nil
	}
	for _, name := range []string{"LAB_RUN", "LAB_BIN", "KUBECONFIG"} {
		if os.Getenv(name) == "" {
			return Shell{}, errors.New(name + " is not set: run this inside a lab, as in `bin/lab run --install -- CMD`")
		}
	}
	return Shell{lab: os.Getenv("LAB_BIN")}, nil
}

// Run executes a program, with stdin as its standard input, and returns what it printed; an error
// holds the end of its output too.
func Run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	return Output(cmd)
}

// Output is Run for a command that the caller has prepared, such as one with a folder or an
// environment of its own.
func Output(cmd *exec.Cmd) (string, error) {
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("running %s: %w: %s", strings.Join(cmd.Args, " "), err, tail(errs.String()+out.String(), 600))
	}
	return out.String(), nil
}

// Kubectl runs kubectl in a cluster.
func (s Shell) Kubectl(ctx context.Context, cluster string, args ...string) (string, error) {
	return Run(ctx, "", "kubectl", append([]string{"--context", cluster}, args...)...)
}

// Apply creates or changes the objects of a manifest (YAML).
func (s Shell) Apply(ctx context.Context, cluster, manifest string) error {
	_, err := Run(ctx, manifest, "kubectl", "--context", cluster, "apply", "-f", "-")
	return err
}

// InPod runs a command in a pod.
func (s Shell) InPod(ctx context.Context, cluster, namespace, pod string, argv ...string) (string, error) {
	return s.Kubectl(ctx, cluster, append([]string{"--namespace", namespace, "exec", pod, "--"}, argv...)...)
}

// OnNode runs a command in a node's own namespaces.
func (s Shell) OnNode(ctx context.Context, node string, argv ...string) (string, error) {
	return Output(s.NodeCommand(ctx, node, argv...))
}

// NodeCommand is a command in a node's own namespaces, not started. Outside of a lab, ctx ends the
// way to the command, and not the command itself.
func (s Shell) NodeCommand(ctx context.Context, node string, argv ...string) *exec.Cmd {
	if s.lab == "" {
		return exec.CommandContext(ctx, "kubectl", append([]string{"--context", clusterOf(node), "--namespace", s.nodePods, "exec", node, "--"}, argv...)...)
	}
	return s.Lab(ctx, append([]string{"node", "exec", node, "--"}, argv...)...)
}

// InLab reports whether the clusters are a lab's, where there is Lab.
func (s Shell) InLab() bool { return s.lab != "" }

// Lab is the lab's own command with these arguments, not started. It is for shells of a lab.
func (s Shell) Lab(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, s.lab, args...)
}

// Program is the path of one of tombolo's programs. It is beside the lab's command, or outside of a lab
// wherever PATH leads to.
func (s Shell) Program(name string) string {
	if s.lab == "" {
		return name
	}
	return filepath.Join(filepath.Dir(s.lab), name)
}

// Nodes are the names of a cluster's nodes that match a label selector, at least one.
func (s Shell) Nodes(ctx context.Context, cluster, selector string) ([]string, error) {
	out, err := s.Kubectl(ctx, cluster, "get", "nodes", "--selector", selector, "--output", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return nil, err
	}
	names := strings.Fields(out)
	if len(names) == 0 {
		return nil, fmt.Errorf("cluster %s has no node with %q", cluster, selector)
	}
	return names, nil
}

func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
