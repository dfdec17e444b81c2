// Command flanneld is flannel on a node of Kubernetes, made of flannel's own packages. Flannel's own
// main imports every backend. One is in a module that module proxies refuse, and one is in C. This
// main has vxlan and host-gw. It does in the kernel what flannel does, with flannel's defaults.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/big"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr"
	"github.com/flannel-io/flannel/pkg/trafficmngr/iptables"
	"github.com/flannel-io/flannel/pkg/trafficmngr/nftables"
)

// resyncSeconds is how often flannel looks at its rules in iptables.
const resyncSeconds = 5

// options are the command line.
type options struct{ kubeconfig, config, device, subnets string }

func main() {
	var o options
	flag.StringVar(&o.kubeconfig, "kubeconfig-file", "", "of an account that may read and annotate nodes")
	flag.StringVar(&o.config, "net-config-path", "/etc/kube-flannel/net-conf.json", "flannel's network configuration")
	flag.StringVar(&o.device, "iface", "eth0", "the device that leads to the other nodes")
	flag.StringVar(&o.subnets, "subnet-file", "/run/flannel/subnet.env", "written when the node is connected")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "flanneld: %v\n", err)
		os.Exit(1)
	}
}

// run connects the node whose name is in $NODE_NAME, and follows the others until ctx ends.
func run(ctx context.Context, o options) error {
	manager, err := kube.NewSubnetManager(ctx, "", o.kubeconfig, "flannel.alpha.coreos.com", o.config, true)
	if err != nil {
		return err
	}
	config, err := manager.GetNetworkConfig(ctx)
	if err != nil {
		return err
	}
	families, err := ipmatch.GetIPFamily(config.EnableIPv4, config.EnableIPv6)
	if err != nil {
		return err
	}
	device, err := ipmatch.LookupExtIface(o.device, "", "", families, ipmatch.PublicIPOpts{})
	if err != nil {
		return err
	}
	chosen, err := backend.NewManager(ctx, manager, device).GetBackend(config.BackendType)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	network, err := chosen.RegisterNetwork(ctx, &running, config)
	if err != nil {
		return err
	}
	if err := writeRules(ctx, config, network); err != nil {
		return err
	}
	lease := network.Lease()
	if err := manager.HandleSubnetFile(o.subnets, config, true, lease.Subnet, lease.IPv6Subnet, network.MTU()); err != nil {
		return err
	}
	running.Go(func() { network.Run(ctx) })
	err = manager.CompleteLease(ctx, lease, &running)
	running.Wait()
	return err
}

// writeRules writes what is masqueraded and what is forwarded. First it removes flannel's rules from
// the other kind of firewall.
func writeRules(ctx context.Context, config *subnet.Config, network backend.Network) error {
	var chosen, other trafficmngr.TrafficManager = &iptables.IPTablesManager{}, &nftables.NFTablesManager{}
	if config.EnableNFTables {
		chosen, other = other, chosen
	}
	if err := other.CleanUp(ctx); err != nil {
		return err
	}
	if err := chosen.Init(ctx); err != nil {
		return err
	}
	none := ip.IP6Net{IP: (*ip.IP6)(new(big.Int))} // no rules of another network to remove
	err := chosen.SetupAndEnsureMasqRules(ctx, config.Network, ip.IP4Net{}, ip.IP4Net{}, config.IPv6Network, none, none,
		network.Lease(), resyncSeconds, false)
	if err != nil {
		return err
	}
	chosen.SetupAndEnsureForwardRules(ctx, config.Network, config.IPv6Network, resyncSeconds)
	return nil
}
