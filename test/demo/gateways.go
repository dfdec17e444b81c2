package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const gatewayLabel = "clusterset.tombolo.dev/gateway=true"

// gatewaySteps are the steps that need two gateways in the importing cluster.
func (e *Env) gatewaySteps() []Step {
	return []Step{
		{"both of west's gateways carry flows (ip route, wg show)", e.bothCarry},
		{"one of them loses power while requests run, and none is lost", e.powerOff},
		{"it comes back and carries flows again", e.comesBack},
	}
}

// hasTwoGateways reports whether the importing cluster has more than one gateway.
func (e *Env) hasTwoGateways(ctx context.Context) (bool, error) {
	gateways, err := e.Nodes(ctx, e.client, gatewayLabel)
	return len(gateways) > 1, err
}

// bothCarry asks all pods of the exporting cluster by their own addresses, until the counters of
// both gateways have moved: which gateway a flow goes by depends on its addresses.
func (e *Env) bothCarry(ctx context.Context) (string, error) {
	routes, err := e.OnNode(ctx, e.clientNode, "ip", "route", "show", "table", "7474", "proto", "148")
	if err != nil {
		return "", err
	}
	moved, err := e.carried(ctx)
	return strings.TrimSpace(routes) + "\n" + moved, err
}

// carried sends requests until each gateway of the importing cluster has carried some of them.
func (e *Env) carried(ctx context.Context) (string, error) {
	gateways, err := e.Nodes(ctx, e.client, gatewayLabel)
	if err != nil {
		return "", err
	}
	out, err := e.inNamespace(ctx, e.server, "get", "pods", "--output", "jsonpath={.items[*].status.podIP}")
	if err != nil {
		return "", err
	}
	curl := []string{"curl", "--silent", "--show-error", "--fail", "--fail-early", "--max-time", patience, "--header", "Connection: close"}
	for _, ip := range strings.Fields(out) {
		curl = append(curl, fmt.Sprintf("http://%s:8080/%s", ip, strings.Repeat("x", payload)))
	}
	before := make([]int, len(gateways))
	for i, g := range gateways {
		received, sent, _, err := e.wireguardCounters(ctx, g)
		if err != nil {
			return "", err
		}
		before[i] = received + sent
	}
	return shell.Eventually(ctx, 30*time.Second, func(ctx context.Context) (string, error) {
		if _, err := e.inClient(ctx, curl...); err != nil {
			return "", err
		}
		var lines []string
		for i, g := range gateways {
			received, sent, _, err := e.wireguardCounters(ctx, g)
			if err != nil {
				return "", err
			}
			moved := received + sent - before[i]
			if moved < 4*payload {
				return "", fmt.Errorf("the counters of %s moved by %d B only", g, moved)
			}
			lines = append(lines, fmt.Sprintf("%s: %d B more through its tunnels", g, moved))
		}
		return strings.Join(lines, "\n"), nil
	})
}

// payload is how long the path of a request is, in bytes: more than probes send meanwhile.
const payload = 1000

// powerOff ends a gateway of the importing cluster while requests run. curl gives no request up,
// and TCP repeats what was lost.
func (e *Env) powerOff(ctx context.Context) (string, error) {
	gateways, err := e.Nodes(ctx, e.client, gatewayLabel)
	if err != nil {
		return "", err
	}
	e.dead = gateways[len(gateways)-1]
	const count = 60
	begin := time.Now()
	var seen map[string]int
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		seen, err = e.requests(groupCtx, count, "/")
		return err
	})
	group.Go(func() error {
		time.Sleep(200 * time.Millisecond) // the requests have begun
		out, err := e.Lab(groupCtx, "node", "kill", e.dead).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ending %s: %w: %s", e.dead, err, out)
		}
		// Now also those that would use it.
		_, err = e.requests(groupCtx, count, "/")
		return err
	})
	if err := group.Wait(); err != nil {
		return "", err
	}
	answers := count
	for _, n := range seen {
		answers += n
	}
	routes, err := e.OnNode(ctx, e.clientNode, "ip", "route", "show", "table", "7474", "proto", "148")
	return fmt.Sprintf("%s was switched off; %d of %d requests answered in %.1f s\n%s",
		e.dead, answers, 2*count, time.Since(begin).Seconds(), strings.TrimSpace(routes)), err
}

// comesBack boots the gateway and waits until it carries flows.
func (e *Env) comesBack(ctx context.Context) (string, error) {
	if e.dead == "" {
		return "", errors.New("no gateway was switched off")
	}
	if out, err := e.Lab(ctx, "node", "start", e.dead).CombinedOutput(); err != nil {
		return "", fmt.Errorf("booting %s: %w: %s", e.dead, err, out)
	}
	well := `{range .status.conditions[*]}{.type}={.status} {end}`
	conditions, err := shell.Eventually(ctx, 90*time.Second, func(ctx context.Context) (string, error) {
		out, err := e.Kubectl(ctx, e.client, "--namespace", "tombolo-system", "get", "gatewaynode/"+e.dead, "--output", "jsonpath="+well)
		for _, want := range []string{"Ready=True", "Alive=True", "Draining=False"} {
			if err == nil && !strings.Contains(out, want) {
				err = fmt.Errorf("GatewayNode %s: %s", e.dead, out)
			}
		}
		return out, err
	})
	if err != nil {
		return "", err
	}
	moved, err := e.carried(ctx)
	return e.dead + ": " + strings.TrimSpace(conditions) + "\n" + moved, err
}
