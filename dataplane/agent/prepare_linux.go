package agent

import (
	"context"
	"errors"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/internal/kernel/kmod"
)

// modules that the dataplane needs and that the kernel does not load by itself; the schedulers would be, were there a
// modprobe in the host's usual place.
var modules = []string{"ip_vs", "ip_vs_wrr", "ip_vs_wlc", "ip_vs_mh"}

// Prepare is the privileged step before the agent starts: it loads kernel modules from the host's /lib/modules and sets
// sysctls. What it cannot do it logs, and the agent will say on the Node: a node with a problem is to show it there, not
// in a container that restarts.
func Prepare(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx)
	if err := ipvs.Available(); err != nil {
		if err := loadModules(); err != nil {
			log.Error(err, "kernel modules not loaded")
		}
	}
	if err := ipvs.Available(); err != nil {
		log.Info("this node cannot serve clusterset IPs with IPVS", "why", err.Error())
		return nil
	}
	var sysctls ipvs.Sysctls
	defer sysctls.Close()
	drift, written := sysctls.Set()
	log.Info("node prepared", "sysctls", written, "drift", drift)
	return nil
}

func loadModules() error {
	dir, err := kmod.Dir()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range modules {
		errs = append(errs, kmod.Load(dir, name))
	}
	return errors.Join(errs...)
}
