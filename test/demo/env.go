package demo

import (
	"context"
	"net/netip"
	"strings"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// Env is the lab that the steps work on, and what one step leaves for the next.
type Env struct {
	shell.Shell

	server, client string       // contexts of the exporting and of the importing cluster
	clientNode     string       // the node of the client pod: a worker, not a gateway
	vips           []netip.Addr // the clusterset IPs, one of each IP family, once the import has them
	dead           string       // the gateway that was switched off
}

// NewEnv returns the steps' environment in the lab that the environment names. The error says what
// is missing.
func NewEnv() (*Env, error) {
	sh, err := shell.New()
	return &Env{Shell: sh, server: "east", client: "west"}, err
}

// inNamespace runs kubectl in the demo's namespace.
func (e *Env) inNamespace(ctx context.Context, cluster string, args ...string) (string, error) {
	return e.Kubectl(ctx, cluster, append([]string{"--namespace", namespace, "--request-timeout=30s"}, args...)...)
}

// get is one value of an object, by JSONPath.
func (e *Env) get(ctx context.Context, cluster, object, path string) (string, error) {
	out, err := e.inNamespace(ctx, cluster, "get", object, "--output", "jsonpath="+path)
	return strings.TrimSpace(out), err
}

// inClient runs a command in the client pod.
func (e *Env) inClient(ctx context.Context, argv ...string) (string, error) {
	return e.InPod(ctx, e.client, namespace, clientPod, argv...)
}
