package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// basePort is the base port to plan with. It is the wanted one, unless devices already listen on the
// ports of another and one of the wanted ports is taken: then those go on as they are, and the error
// says which port is taken. All devices move together, because one base port is published.
func (a *Agent) basePort(ctx context.Context, want v1alpha1.Port) (v1alpha1.Port, error) {
	if a.base == want {
		return want, nil
	}
	have, err := a.cfg.Kernel.Tunnels.Read(ctx)
	if err != nil {
		return want, fmt.Errorf("looking for the ports in use: %w", err)
	}
	lanes, old := portsOf(have)
	if old == 0 || old == want {
		return want, nil
	}
	for _, lane := range lanes {
		port := int(want) + lane
		if slices.ContainsFunc(have.Devices, func(d wireguard.DeviceState) bool { return d.ListenPort == port }) {
			continue // it is ours, and moves, too
		}
		if err := a.cfg.Kernel.Host.CheckPort(ctx, port); errors.Is(err, syscall.EADDRINUSE) {
			return old, fmt.Errorf("the gateway stays at port %d: %w", old, err)
		}
	}
	return want, nil
}

// portsOf are the lanes of the devices that are up, and their base port; 0 if there is none, or they
// do not agree.
func portsOf(have wireguard.State) (lanes []int, base v1alpha1.Port) {
	for lane := range v1alpha1.MaxLanes {
		d, ok := have.Device(wireguard.DeviceName(lane))
		if !ok || !d.Up {
			continue
		}
		lanes = append(lanes, lane)
		switch this := v1alpha1.Port(d.ListenPort - lane); {
		case len(lanes) == 1:
			base = this
		case this != base:
			return lanes, 0
		}
	}
	return lanes, base
}

// explainPort replaces the kernel's error about a port that is taken by one that names the port, who
// has it, and the remedy. Without devices it finds out before others send there.
func (a *Agent) explainPort(ctx context.Context, base v1alpha1.Port, want wireguard.Config, err error) error {
	if len(want.Devices) == 0 && err == nil {
		return a.cfg.Kernel.Host.CheckPort(ctx, int(base))
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	have, readErr := a.cfg.Kernel.Tunnels.Read(ctx)
	if readErr != nil {
		return err
	}
	for _, w := range want.Devices {
		if h, ok := have.Device(w.Name); ok && h.Up && h.ListenPort == w.ListenPort {
			continue
		}
		if taken := a.cfg.Kernel.Host.CheckPort(ctx, w.ListenPort); taken != nil {
			return taken
		}
	}
	return err
}
