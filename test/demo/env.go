package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Env is the lab that the steps work on, and what one step leaves for the next.
type Env struct {
	lab string // path of the lab's command

	server, client string // contexts of the exporting and of the importing cluster
	clientNode     string // the node of the client pod: a worker, not a gateway
	vip            string // the clusterset IP, once the import has one
}

// NewEnv returns the steps' environment in the lab that $LAB_RUN names. The error says what is missing.
func NewEnv() (*Env, error) {
	if os.Getenv("LAB_RUN") == "" || os.Getenv("KUBECONFIG") == "" {
		return nil, errors.New("LAB_RUN and KUBECONFIG are not set: run this inside a lab, as in `bin/lab run --install -- CMD`")
	}
	lab := os.Getenv("LAB_BIN")
	if lab == "" {
		return nil, errors.New("LAB_BIN is not set: the lab sets it to its own path for the command that it runs")
	}
	return &Env{lab: lab, server: "east", client: "west"}, nil
}

// run executes a program and returns what it printed; the error holds its standard error.
func run(ctx context.Context, stdin, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, tail(errs.String()+out.String(), 600))
	}
	return out.String(), nil
}

func (e *Env) kubectl(ctx context.Context, cluster string, args ...string) (string, error) {
	return run(ctx, "", "kubectl", append([]string{"--context", cluster, "--request-timeout=30s"}, args...)...)
}

func (e *Env) apply(ctx context.Context, cluster, manifest string) error {
	_, err := run(ctx, manifest, "kubectl", "--context", cluster, "apply", "-f", "-")
	return err
}

// get is one value of an object, by JSONPath.
func (e *Env) get(ctx context.Context, cluster, object, path string) (string, error) {
	out, err := e.kubectl(ctx, cluster, "--namespace", namespace, "get", object, "--output", "jsonpath="+path)
	return strings.TrimSpace(out), err
}

// inClient runs a command in the client pod.
func (e *Env) inClient(ctx context.Context, argv ...string) (string, error) {
	args := append([]string{"--context", e.client, "--namespace", namespace, "exec", clientPod, "--"}, argv...)
	return run(ctx, "", "kubectl", args...)
}

// onNode runs a command in a node's own namespaces.
func (e *Env) onNode(ctx context.Context, node string, argv ...string) (string, error) {
	return run(ctx, "", e.lab, append([]string{"node", "exec", node, "--"}, argv...)...)
}

// nodes are the names of the nodes that match a label selector.
func (e *Env) nodes(ctx context.Context, cluster, selector string) ([]string, error) {
	out, err := e.kubectl(ctx, cluster, "get", "nodes", "--selector", selector, "--output", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		return nil, err
	}
	names := strings.Fields(out)
	if len(names) == 0 {
		return nil, fmt.Errorf("cluster %s has no node with %q", cluster, selector)
	}
	return names, nil
}

// eventually repeats check until it succeeds, and returns its evidence; after the timeout, its last error.
func eventually(ctx context.Context, timeout time.Duration, check func(context.Context) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		evidence, err := check(ctx)
		if err == nil {
			return evidence, nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("not within %s: %w", timeout, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func tail(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
