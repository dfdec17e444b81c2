package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// runPodNetwork connects the node's pods in the way that Config.CNI says: a CNI configuration
// once the node has its pod CIDRs, ways to the pods of other nodes, and
// masquerade rules for what leaves the cluster. It returns when ctx ends.
func runPodNetwork(ctx context.Context, cfg Config, log *slog.Logger, status *statusBoard) error {
	if err := registerNode(ctx, cfg); err != nil {
		return err
	}
	// Not the kubelet's identity: that one may see its own Node only.
	client, err := clientFor(cfg.path(ProxyKubeconfig))
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	dirty := make(chan struct{}, 1)
	mark := func() {
		select {
		case dirty <- struct{}{}:
		default: // a pass is due already
		}
	}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { mark() },
		UpdateFunc: func(any, any) { mark() },
		DeleteFunc: func(any) { mark() },
	}); err != nil {
		return fmt.Errorf("watching Nodes: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel() // before Shutdown, which waits
	if !cache.WaitForCacheSync(ctx.Done(), nodes.Informer().HasSynced) {
		return ctx.Err()
	}
	p := podNetwork{cfg: cfg, net: newPodNet(cfg, log), log: log, status: status, nodes: nodes.Lister()}
	return p.loop(ctx, dirty)
}

// resyncInterval is how often routes and rules are looked at though no Node has changed.
const resyncInterval = 10 * time.Second

// podNetwork is what a pass needs.
type podNetwork struct {
	cfg    Config
	net    podNet
	log    *slog.Logger
	status *statusBoard
	nodes  listers.NodeLister
	ready  bool // the CNI configuration is there
}

// loop makes a pass whenever dirty says so.
func (p *podNetwork) loop(ctx context.Context, dirty <-chan struct{}) error {
	ticker := time.NewTicker(resyncInterval)
	defer ticker.Stop()
	for {
		if err := p.sync(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-dirty:
		case <-ticker.C:
		}
	}
}

// sync makes the node match the Nodes.
func (p *podNetwork) sync(ctx context.Context) error {
	all, err := p.nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("listing Nodes: %w", err)
	}
	isSelf := func(n *corev1.Node) bool { return n.Name == p.cfg.Name }
	i := slices.IndexFunc(all, isSelf)
	if i < 0 {
		return nil // somebody has deleted it; the kubelet makes it again
	}
	self := all[i]
	errNet := p.net.sync(ctx, self, slices.DeleteFunc(slices.Clone(all), isSelf))
	// Pods of this node run without the others, and without what was not possible.
	return errors.Join(errNet, p.writeCNI(self))
}

// writeCNI writes the CNI configuration once the node has its pod CIDRs.
func (p *podNetwork) writeCNI(n *corev1.Node) error {
	cidrs := prefixes(n.Spec.PodCIDRs)
	if p.ready || len(cidrs) == 0 {
		return nil
	}
	if err := writeCNIConfig(p.net.plugin(), cidrs); err != nil {
		return err
	}
	p.ready = true
	p.status.set("podnet", StateReady, nil)
	p.log.Info("pod network is ready", "podCIDRs", cidrs)
	return nil
}

// routesTo returns the next hop for each pod CIDR of n: its InternalIP of the
// same family. CIDRs without one are left out.
func routesTo(n *corev1.Node) map[netip.Prefix]netip.Addr {
	routes := map[netip.Prefix]netip.Addr{}
	for _, cidr := range prefixes(n.Spec.PodCIDRs) {
		for _, a := range n.Status.Addresses {
			addr, err := netip.ParseAddr(a.Address)
			if a.Type == corev1.NodeInternalIP && err == nil && addr.Is4() == cidr.Addr().Is4() {
				routes[cidr] = addr
				break
			}
		}
	}
	return routes
}

// prefixes parses CIDRs and leaves out what is none; the API server has
// validated them.
func prefixes(cidrs []string) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range cidrs {
		if p, err := netip.ParsePrefix(c); err == nil {
			out = append(out, p.Masked())
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}

// registerNode makes the Node object, in the kubelet's name, before the kubelet
// does: its pod CIDRs are then there by the time that containerd is up, and the
// node is Ready at the kubelet's first look instead of its second.
func registerNode(ctx context.Context, cfg Config) error {
	client, err := clientFor(cfg.path(KubeletKubeconfig))
	if err != nil {
		return err
	}
	all := map[string]string{
		corev1.LabelHostname:   cfg.Name,
		corev1.LabelOSStable:   runtime.GOOS,
		corev1.LabelArchStable: runtime.GOARCH,
	}
	maps.Copy(all, cfg.Labels)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: cfg.Name, Labels: all}}
	for _, a := range cfg.Addresses {
		node.Status.Addresses = append(node.Status.Addresses,
			corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.Addr().String()})
	}
	_, err = client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("registering Node %s: %w", cfg.Name, err)
	}
	return nil
}

func clientFor(kubeconfig string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing the client of %s: %w", kubeconfig, err)
	}
	return client, nil
}
