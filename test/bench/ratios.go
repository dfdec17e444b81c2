package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const rounds = 7

// ratios measures throughput and request rate from the client pod to the server pod three ways, in
// interleaved rounds: through the clusterset IP, straight to the pod IP through tombolo's tunnel,
// and to the pod IP through a tunnel made by hand with wg and ip on the same nodes. The figures are
// medians of the rounds' ratios.
func (b *bench) ratios(ctx context.Context) error {
	const name = "ratios"
	if err := b.createAll(ctx, service(name, map[string]string{"app": "server"}, iperfPort, httpPort, httpPodPort), serviceExport(name)); err != nil {
		return err
	}
	vip, err := b.clusterSetIP(ctx, name)
	if err != nil {
		return err
	}
	pod, err := b.podIP(ctx, exporter, "server")
	if err != nil {
		return err
	}
	own, err := b.podIP(ctx, importer, "client")
	if err != nil {
		return err
	}
	remove, err := b.handMadeTunnel(ctx, own, pod)
	if err != nil {
		return err
	}
	defer remove()
	vipAddr := vip.String()
	if _, err := shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
		return b.InPod(ctx, importer, namespace, "client", "curl", "-sf", "-m", "2", fmt.Sprintf("http://%s:%d/", vipAddr, httpPort))
	}); err != nil {
		return err
	}
	if err := b.compare(ctx, "throughput", "Mbit/s", b.throughput,
		target{vipAddr, iperfPort}, target{pod, iperfPort}, target{pod, iperfHandPort}); err != nil {
		return err
	}
	return b.compare(ctx, "request", "1/s", b.requestRate,
		target{vipAddr, httpPort}, target{pod, httpPodPort}, target{pod, httpHandPort})
}

type target struct {
	host string
	port int
}

// compare measures the three targets in turn, round after round.
func (b *bench) compare(ctx context.Context, what, unit string, measure func(context.Context, target) (float64, error), vip, pod, hand target) error {
	var values [3][]float64
	var overPod, overHand, podOverHand []float64
	for range rounds {
		var round [3]float64
		for i, t := range []target{vip, pod, hand} {
			v, err := measure(ctx, t)
			if err != nil {
				return fmt.Errorf("measuring %s to %s:%d: %w", what, t.host, t.port, err)
			}
			fmt.Fprintf(os.Stderr, "  %s to %s:%d: %.1f %s\n", what, t.host, t.port, v, unit)
			round[i] = v
			values[i] = append(values[i], v)
		}
		overPod = append(overPod, round[0]/round[1])
		overHand = append(overHand, round[0]/round[2])
		podOverHand = append(podOverHand, round[1]/round[2])
	}
	b.figures.Add("vip_over_tunnel_"+what+"_ratio", figures.Quantile(overHand, 0.5), "ratio")
	b.figures.Add("vip_over_pod_"+what+"_ratio", figures.Quantile(overPod, 0.5), "ratio")
	b.figures.Add("pod_over_tunnel_"+what+"_ratio", figures.Quantile(podOverHand, 0.5), "ratio")
	b.figures.Add("vip_"+what, figures.Quantile(values[0], 0.5), unit)
	b.figures.Add("pod_"+what, figures.Quantile(values[1], 0.5), unit)
	b.figures.Add("tunnel_"+what, figures.Quantile(values[2], 0.5), unit)
	return nil
}

// throughput is in Mbit/s, one TCP stream for 2 s, as the receiver counts.
func (b *bench) throughput(ctx context.Context, t target) (float64, error) {
	out, err := b.InPod(ctx, importer, namespace, "client", "iperf3", "-c", t.host, "-p", strconv.Itoa(t.port), "-t", "2", "-O", "1", "-J")
	if err != nil {
		return 0, err
	}
	return figures.Received(out)
}

// requestRate is in requests per second, each over a connection of its own.
func (b *bench) requestRate(ctx context.Context, t target) (float64, error) {
	out, err := b.InPod(ctx, importer, namespace, "client", "/bench", "load", fmt.Sprintf("http://%s:%d/", t.host, t.port))
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(out), 64)
}

// waitEndpoints returns when the exporting cluster lists a ready endpoint of the Service.
func (b *bench) waitEndpoints(ctx context.Context, name string) error {
	_, err := shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
		var list discoveryv1.EndpointSliceList
		if err := b.api[exporter].List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{discoveryv1.LabelServiceName: name}); err != nil {
			return "", err
		}
		for _, s := range list.Items {
			if len(s.Endpoints) > 0 {
				return "", nil
			}
		}
		return "", fmt.Errorf("service %s has no endpoints", name)
	})
	return err
}

// kubectlExec is a command in the client pod with its standard input open, not started.
func kubectlExec(ctx context.Context, argv ...string) *exec.Cmd {
	args := append([]string{"--context", importer, "--namespace", namespace, "exec", "--stdin", "client", "--"}, argv...)
	return exec.CommandContext(ctx, "kubectl", args...)
}
