package agent

import (
	"context"
	"errors"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/internal/kernel/kmod"
)

// modules that the dataplane needs. The kernel does not load ip_vs by itself. It would load the
// schedulers if modprobe were in its usual place on the host.
var modules = []string{"ip_vs", "ip_vs_wrr", "ip_vs_wlc", "ip_vs_mh"}

// Prepare is the privileged step before the agent starts: it loads kernel modules from the host's
// /lib/modules and sets sysctls. It logs what it cannot do, and the agent says so on the Node: a
// node should show its problem there, not in a container that restarts.
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
