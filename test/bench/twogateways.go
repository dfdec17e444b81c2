package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lifecycle/failover"
)

const (
	// pods is how many pods send, each to as many pods of the other cluster: one stream to each.
	pods = 4
	// streamFor is how long the streams flow; they are measured for some of that time, once all do.
	streamFor, settle, measured = 20 * time.Second, 6 * time.Second, 8 * time.Second
	// limit is what each gateway may send, in tc's words: little enough for all of them to fit on the
	// host's cores, so that gateways are what is short.
	limit = "16mbit"
)

// twoGateways measures two gateways against one: throughput of many streams, with gateways that
// may send only so much, and without a limit. It also measures what workers' probes cost one.
func twoGateways(ctx context.Context, quick bool, all *figures.List) error {
	sh, err := shell.New()
	if err != nil {
		return err
	}
	m := &crowd{Shell: sh, rounds: 3}
	if quick {
		m.rounds = 1
	}
	defer m.remove(context.WithoutCancel(ctx))
	if err := m.deploy(ctx); err != nil {
		return fmt.Errorf("preparing pods: %w", err)
	}
	return errors.Join(m.throughput(ctx, all), probesCost(ctx, sh, all))
}

// crowd is pods that send and pods that receive.
type crowd struct {
	shell.Shell
	rounds    int
	receivers []string // addresses
}

const crowdNamespace = "crowd"

func (m *crowd) deploy(ctx context.Context) error {
	for cluster, command := range map[string]string{
		exporter: `["sh", "-c", "for p in 1 2 3 4; do iperf3 -s -p 520$p & done; wait"]`,
		importer: `["sleep", "infinity"]`,
	} {
		nodes, err := m.Nodes(ctx, cluster, "!"+gatewayLabel)
		if err != nil {
			return err
		}
		manifest := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", crowdNamespace)
		for i := range pods {
			manifest += fmt.Sprintf(crowdPod, i, crowdNamespace, nodes[i%len(nodes)], command)
		}
		if err := m.Apply(ctx, cluster, manifest); err != nil {
			return err
		}
		if _, err := m.Kubectl(ctx, cluster, "--namespace", crowdNamespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=180s"); err != nil {
			return err
		}
	}
	out, err := m.Kubectl(ctx, exporter, "--namespace", crowdNamespace, "get", "pods", "--output", "jsonpath={.items[*].status.podIP}")
	m.receivers = strings.Fields(out)
	if err == nil && len(m.receivers) != pods {
		err = fmt.Errorf("%d of %d pods have an address", len(m.receivers), pods)
	}
	return errors.Join(err, m.export(ctx))
}

// export lets the other cluster reach the receiving pods by their own addresses, and waits until it
// does.
func (m *crowd) export(ctx context.Context) error {
	if err := m.Apply(ctx, exporter, fmt.Sprintf(crowdExport, crowdNamespace)); err != nil || len(m.receivers) == 0 {
		return err
	}
	_, err := shell.Eventually(ctx, time.Minute, func(ctx context.Context) (string, error) {
		return m.InPod(ctx, importer, crowdNamespace, "pod-0", "timeout", "3", "iperf3", "-t", "0.1", "-p", "5201", "-c", m.receivers[0])
	})
	return err
}

const crowdExport = `
apiVersion: v1
kind: Service
metadata: {name: crowd, namespace: %[1]s}
spec: {clusterIP: None, selector: {app: crowd}, ports: [{name: a, port: 5201}, {name: b, port: 5202}, {name: c, port: 5203}, {name: d, port: 5204}]}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: crowd, namespace: %[1]s}
`

const crowdPod = `---
apiVersion: v1
kind: Pod
metadata: {name: pod-%d, namespace: %s, labels: {app: crowd}}
spec:
  nodeSelector: {kubernetes.io/hostname: %s}
  terminationGracePeriodSeconds: 1
  containers:
  - {name: tools, image: "nicolaka/netshoot:v0.15", imagePullPolicy: IfNotPresent, command: %s}
`

func (m *crowd) remove(ctx context.Context) {
	for _, cluster := range []string{exporter, importer} {
		_, _ = m.Kubectl(ctx, cluster, "delete", "namespace", crowdNamespace, "--ignore-not-found", "--wait=false")
	}
}

// throughput compares two gateways with one, in interleaved rounds.
func (m *crowd) throughput(ctx context.Context, all *figures.List) error {
	site, err := failover.Attach()
	if err != nil {
		return err
	}
	var ratios, free []float64
	for range m.rounds {
		var limited, unlimited [2]float64
		for gateways := range 2 {
			restore := func(context.Context) error { return nil }
			if gateways == 0 {
				if restore, err = site.OneGatewayEach(ctx); err != nil {
					return err
				}
			}
			unlimited[gateways], err = m.flow(ctx)
			if err == nil {
				limited[gateways], err = m.flowLimited(ctx)
			}
			if err := errors.Join(err, restore(context.WithoutCancel(ctx)), site.Healthy(ctx)); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "  %d gateways: %.1f Mbit/s, and with %s each %.1f\n", gateways+1, unlimited[gateways], limit, limited[gateways])
		}
		ratios, free = append(ratios, limited[1]/limited[0]), append(free, unlimited[1]/unlimited[0])
	}
	all.Add("two_gateways_throughput_ratio", figures.Quantile(ratios, 0.5), "ratio")
	all.Add("two_gateways_throughput_unlimited_ratio", figures.Quantile(free, 0.5), "ratio")
	return nil
}

// flowLimited lets each gateway send only so much.
func (m *crowd) flowLimited(ctx context.Context) (float64, error) {
	var nodes []string
	for _, cluster := range []string{exporter, importer} {
		names, err := m.Nodes(ctx, cluster, gatewayLabel+"=true")
		if err != nil {
			return 0, err
		}
		nodes = append(nodes, names...)
	}
	defer func() {
		for _, n := range nodes {
			_, _ = m.OnNode(context.WithoutCancel(ctx), n, "tc", "qdisc", "del", "dev", "eth0", "root")
		}
	}()
	for _, n := range nodes {
		if _, err := m.OnNode(ctx, n, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", limit, "burst", "32kb", "latency", "50ms"); err != nil {
			return 0, err
		}
	}
	return m.flow(ctx)
}

// flow sends from each pod to each pod of the other cluster, and returns what comes out of the
// tunnels there in all, in Mbit/s.
func (m *crowd) flow(ctx context.Context) (float64, error) {
	g, gctx := errgroup.WithContext(ctx)
	for i := range pods {
		for j := range pods {
			g.Go(func() error {
				_, err := m.InPod(gctx, importer, crowdNamespace, fmt.Sprint("pod-", i), "iperf3", "-t", fmt.Sprint(streamFor.Seconds()),
					"-c", m.receivers[j], "-p", fmt.Sprint(5201+i))
				return err
			})
		}
	}
	rate, err := m.tunnelRate(gctx)
	return rate, errors.Join(err, g.Wait())
}

// tunnelRate returns what comes out of the tunnels of the receiving cluster, in Mbit/s.
func (m *crowd) tunnelRate(ctx context.Context) (float64, error) {
	if err := wait(ctx, settle); err != nil {
		return 0, err
	}
	gateways, err := m.Nodes(ctx, exporter, gatewayLabel)
	if err != nil {
		return 0, err
	}
	total := 0.0
	g, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	for _, gateway := range gateways {
		g.Go(func() error {
			rate, err := m.received(ctx, gateway)
			mu.Lock()
			defer mu.Unlock()
			total += rate
			return err
		})
	}
	return total, g.Wait()
}

// received returns what comes out of a gateway's tunnels, in Mbit/s. The gateway itself takes the
// time.
func (m *crowd) received(ctx context.Context, gateway string) (float64, error) {
	const script = `read_all() { cat /sys/class/net/tombolo[0-9]*/statistics/rx_bytes | awk '{ n += $1 } END { printf "%%d ", n }'; cat /proc/uptime; }
read_all; sleep %g; read_all`
	out, err := m.OnNode(ctx, gateway, "sh", "-c", fmt.Sprintf(script, measured.Seconds()))
	if err != nil {
		return 0, err
	}
	var before, after, begin, end, idle float64
	if _, err := fmt.Sscan(out, &before, &begin, &idle, &after, &end, &idle); err != nil {
		return 0, fmt.Errorf("reading counters of %s from %q: %w", gateway, out, err)
	}
	return (after - before) * 8 / 1e6 / (end - begin), nil
}

// How many workers ask a gateway whether it lives, and how often each.
const (
	workers   = 1000
	askEvery  = 150 * time.Millisecond
	askFor    = 10 * time.Second
	probeRate = workers * int(time.Second/time.Millisecond) / int(askEvery/time.Millisecond)
)

// probesCost adds how much of its one CPU a gateway spends on the questions of 1,000 workers: what
// /proc/stat counts while they are asked, less what it counts before. In a user-mode kernel that is
// many times what it is elsewhere.
func probesCost(ctx context.Context, sh shell.Shell, all *figures.List) error {
	gateways, err := sh.Nodes(ctx, importer, gatewayLabel+"=true")
	workers, errWorkers := sh.Nodes(ctx, importer, "!"+gatewayLabel)
	if err := errors.Join(err, errWorkers); err != nil {
		return err
	}
	to, err := sh.Kubectl(ctx, importer, "--namespace", "tombolo-system", "get", "gatewaynode", gateways[0], "--output", "jsonpath={.spec.tunnelAddresses[0]}")
	if err != nil {
		return err
	}
	from, err := sh.Kubectl(ctx, importer, "get", "node", workers[0], "--output", `jsonpath={.metadata.annotations.clusterset\.tombolo\.dev/transit-address}`)
	if err != nil {
		return err
	}
	from, _, _ = strings.Cut(from, ",") // the IPv4 address is the first
	self, err := os.Executable()
	if err != nil {
		return err
	}
	idle, err := busy(ctx, sh, gateways[0], func() error { return wait(ctx, askFor) })
	if err != nil {
		return err
	}
	answered := ""
	asked, err := busy(ctx, sh, gateways[0], func() (err error) {
		answered, err = sh.OnNode(ctx, workers[0], self, "syns", "--from", from, "--to", to, "--rate", fmt.Sprint(probeRate), "--duration", askFor.String())
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "  CPU of %s: %.1f %%, and %.1f %% while it is asked for %s: %s\n", gateways[0], 100*idle, 100*asked, askFor, strings.TrimSpace(answered))
	var questions, answers float64
	if _, err := fmt.Sscanf(answered, "%f sent, %f answered", &questions, &answers); err != nil || answers == 0 {
		return fmt.Errorf("asking %s: %q: %w", gateways[0], answered, err)
	}
	// On a busy machine fewer are asked than should be.
	all.Add("gateway_cpu_of_1000_workers_probes_percent", 100*(asked-idle)*float64(probeRate)*askFor.Seconds()/answers, "%")
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// busy returns the share of its CPU that the node spends while do runs.
func busy(ctx context.Context, sh shell.Shell, node string, do func() error) (float64, error) {
	read := func() (busy, all float64, err error) {
		out, err := sh.OnNode(ctx, node, "head", "-1", "/proc/stat")
		if err != nil {
			return 0, 0, err
		}
		var user, nice, system, idle, iowait, irq, softirq float64
		_, err = fmt.Sscanf(out, "cpu %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &iowait, &irq, &softirq)
		busy = user + nice + system + irq + softirq
		return busy, busy + idle + iowait, err
	}
	busyBefore, allBefore, err := read()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	busyAfter, allAfter, err := read()
	return (busyAfter - busyBefore) / (allAfter - allBefore), err
}
