package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const propagationSamples = 100

// patience is how long one sample may take. A slow one on a busy machine belongs in the figures; it
// is no reason to end.
const patience = 3 * time.Minute

// propagation measures from the write that turns an endpoint ready in the exporting cluster's
// EndpointSlice to the importing worker's kernel holding it: a program on that node polls the
// kernel every 2 ms and its line comes back over the lab's own way to nodes, so the figure is an
// upper bound.
func (b *bench) propagation(ctx context.Context) error {
	const name, port = "propagation", 80
	prefix, err := b.externalPrefix(ctx)
	if err != nil {
		return err
	}
	// The last addresses of the cluster, which are no pods': nothing is sent to them.
	steady, moving := lastAddress(prefix, 2), lastAddress(prefix, 3)
	s := slice(name, port, steady, moving)
	if err := b.createAll(ctx, service(name, nil, port), s, serviceExport(name)); err != nil {
		return err
	}
	vip, err := b.clusterSetIP(ctx, name)
	if err != nil {
		return err
	}
	lines, stop, err := b.watchKernel(ctx, netip.AddrPortFrom(vip, port))
	if err != nil {
		return err
	}
	defer stop()
	// The lines repeat the kernel's state: the first wait is for both addresses.
	if _, err := b.waitKernel(ctx, lines, moving, true); err != nil {
		return err
	}
	var added []time.Duration
	for range propagationSamples {
		if _, err := b.setReady(ctx, s, false, lines, moving); err != nil {
			return err
		}
		took, err := b.setReady(ctx, s, true, lines, moving)
		if err != nil {
			return err
		}
		added = append(added, took)
	}
	b.figures.AddTimes("propagation", added)
	return nil
}

// setReady writes the readiness of the slice's second endpoint and returns how long the kernel took
// to follow.
func (b *bench) setReady(ctx context.Context, s *discoveryv1.EndpointSlice, ready bool, lines <-chan string, address string) (time.Duration, error) {
	s.Endpoints[1].Conditions.Ready = ptr.To(ready)
	start := time.Now()
	if err := b.api[exporter].Update(ctx, s); err != nil {
		return 0, fmt.Errorf("writing endpointslice %s: %w", s.Name, err)
	}
	seen, err := b.waitKernel(ctx, lines, address, ready)
	return seen.Sub(start), err
}

// waitKernel returns when a line says that the address is there, or is not.
func (b *bench) waitKernel(ctx context.Context, lines <-chan string, address string, want bool) (time.Time, error) {
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return time.Time{}, fmt.Errorf("the watch on %s has ended", b.clientNode)
			}
			if slices.Contains(strings.Fields(line), address) == want {
				return time.Now(), nil
			}
		case <-timeout:
			return time.Time{}, fmt.Errorf("the kernel of %s did not follow within %s: want %s present=%v", b.clientNode, patience, address, want)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

// watchKernel runs the watch command on the importing worker; stop ends it.
func (b *bench) watchKernel(ctx context.Context, service netip.AddrPort) (<-chan string, func(), error) {
	cmd := b.NodeCommand(ctx, b.clientNode, b.self, "watch", service.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("starting the watch on %s: %w", b.clientNode, err)
	}
	lines := make(chan string, 64)
	go readLines(out, lines)
	return lines, func() { interrupt(cmd) }, nil
}

func readLines(r io.Reader, lines chan<- string) {
	defer close(lines)
	for scanner := bufio.NewScanner(r); scanner.Scan(); {
		lines <- scanner.Text()
	}
}

func interrupt(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait()
}

// externalPrefix lets the exporting cluster export what is no pod, and returns its first CIDR.
func (b *bench) externalPrefix(ctx context.Context) (netip.Prefix, error) {
	var set v1alpha1.ClusterSet
	if err := b.api[exporter].Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, &set); err != nil {
		return netip.Prefix{}, err
	}
	if len(set.Status.CIDRs) == 0 {
		return netip.Prefix{}, errors.New("the exporting cluster has no CIDRs yet: ClusterSet.status.cidrs is empty")
	}
	set.Spec.ExternalEndpoints = &v1alpha1.ExternalEndpoints{NamespaceSelector: &metav1.LabelSelector{}}
	if err := b.api[exporter].Update(ctx, &set); err != nil {
		return netip.Prefix{}, err
	}
	return netip.ParsePrefix(string(set.Status.CIDRs[0]))
}

// lastAddress is the n-th address from the end of an IPv4 prefix; 1 is the last.
func lastAddress(prefix netip.Prefix, n int) string {
	b := prefix.Masked().Addr().As4()
	for i, free := 3, 32-prefix.Bits(); free > 0; i, free = i-1, free-8 {
		b[i] |= byte(1<<min(free, 8) - 1)
	}
	addr := netip.AddrFrom4(b)
	for range n - 1 {
		addr = addr.Prev()
	}
	return addr.String()
}
