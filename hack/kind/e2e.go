package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tombolo-net/tombolo/hack/kind/node"
	"github.com/tombolo-net/tombolo/test/harness/loadpod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// nodePods is the namespace of the pods that run the tests' commands on nodes.
const nodePods = "node-pods"

// e2e tests tombolo in clusters that it makes and removes, and fails if something of them is left.
func (t *tool) e2e(ctx context.Context) error {
	if err := t.engine.Ready(ctx); err != nil {
		return err
	}
	before, err := t.inventory(ctx)
	if err != nil {
		return err
	}
	err = t.make(ctx)
	if err == nil {
		err = t.test(ctx)
	}
	if err == nil {
		err = t.testChart(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, t.state(context.WithoutCancel(ctx)))
	}
	return errors.Join(err, t.checkedDown(context.WithoutCancel(ctx), before))
}

// checkedDown removes the clusters and compares what Docker has with what it had before.
func (t *tool) checkedDown(ctx context.Context, before []string) error {
	return step("removing the clusters", "usually 10 s", func() error {
		if err := t.delete(ctx); err != nil {
			return err
		}
		after, err := t.inventory(ctx)
		if err != nil {
			return err
		}
		if left := surplus(before, after); len(left) > 0 {
			return fmt.Errorf("the clusters are deleted, but this is left: %s", strings.Join(left, ", "))
		}
		if err := t.engine.Stop(ctx); err != nil {
			return err
		}
		return t.engine.CheckEnded()
	})
}

// inventory is what Docker has, a line each. The node image that is kept is not in it.
func (t *tool) inventory(ctx context.Context) ([]string, error) {
	var all []string
	for _, list := range [][]string{
		{"container", "ls", "--all", "--format", "container {{.Names}}"},
		{"network", "ls", "--format", "network {{.Name}}"},
		{"volume", "ls", "--format", "volume {{.Name}}"},
		{"image", "ls", "--all", "--format", "image {{.Repository}}:{{.Tag}}"},
	} {
		out, err := t.engine.Docker(ctx, list...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "image "+node.Repository+":") && !strings.HasPrefix(line, "image kindest/node:") {
				all = append(all, line)
			}
		}
	}
	return all, nil
}

// surplus are the lines of after that before has not.
func surplus(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(line string) bool { return slices.Contains(before, line) })
}

// test runs the tests on the clusters.
func (t *tool) test(ctx context.Context) error {
	if err := step("starting the pods that run commands on nodes", "usually 5 s", func() error { return t.startNodePods(ctx) }); err != nil {
		return err
	}
	return step("tests", "usually 2 minutes", func() error {
		packages := []string{"./test/kind", "./test/e2e", "./test/conformance", "./test/netpol"}
		if t.labTests {
			packages = append(packages, "./test/lifecycle", "./test/explain", "./test/plugin")
		}
		return t.goTest(ctx, t.environment(), packages...)
	})
}

// testChart takes tombolo off one of the clusters, and installs it again and uninstalls it with Helm.
func (t *tool) testChart(ctx context.Context) error {
	return step("the Helm chart", "usually 2 minutes", func() error { return t.goTest(ctx, t.environment(), "./test/kind/helm") })
}

// environment is that of the tests on the clusters of make.
func (t *tool) environment() []string {
	path := strings.Join([]string{t.bin, t.programs, os.Getenv("PATH")}, string(os.PathListSeparator))
	return []string{"KUBECONFIG=" + t.kubeconfig(), shell.NodePodsEnv + "=" + nodePods, "PATH=" + path}
}

// goTest runs the tests of packages, one package after the other, with these variables besides. A
// test or two that fail run again, as on the lab: gateways that encrypt themselves may get no CPU
// for a second, and then links go down and up. TestGatewayKeys stays in the lab: it looks at a
// node's files.
func (t *tool) goTest(ctx context.Context, environment []string, packages ...string) error {
	args := []string{"go", "test", "-tags", "e2e,kind", "-short", "-count=1", "-timeout", "30m", "-p", "1", "-parallel", "4", "-skip", "^TestGatewayKeys$", "-v"}
	cmd := exec.CommandContext(ctx, "hack/again.sh", append(args, packages...)...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

// startNodePods starts a pod with the tests' tools in the network of each node, under its name. It
// gives the nodes the program that other pods of the tests run.
func (t *tool) startNodePods(ctx context.Context) error {
	for _, c := range t.clusters {
		for _, node := range c.nodes() {
			if _, err := t.engine.Docker(ctx, "cp", "bin/load", node+":"+loadpod.KindProgram); err != nil {
				return err
			}
		}
		manifest := shell.NodePods(nodePods, c.nodes())
		if _, err := t.run(ctx, manifest, "kubectl", "--context", c.Name, "apply", "-f", "-"); err != nil {
			return err
		}
	}
	for _, c := range t.clusters {
		if _, err := t.run(ctx, "", "kubectl", "--context", c.Name, "--namespace", nodePods, "wait", "--for=condition=Ready", "--timeout=120s", "pods", "--all"); err != nil {
			return err
		}
	}
	return nil
}
