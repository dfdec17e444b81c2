package agent

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// What the kernel says in several ways, in one sentence each.
var (
	errNotPermitted = errors.New("the dataplane may not change the network: " + rtnl.NeedsNetAdmin)
	errForbidden    = errors.New("the kernel refuses it, though the dataplane has the capability NET_ADMIN: check whether a security module (seccomp, AppArmor, SELinux) forbids it")
	errNoRoom       = errors.New("the kernel has no room for it: give the node more memory, or serve fewer endpoints")
)

// remedied adds the remedy to an error of the kernel. Nothing is half done meanwhile: the kernel
// accepts a transaction of nftables as a whole or not at all, and IPVS keeps what it had.
func remedied(err error) error {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return nil
	case !rtnl.MayChangeNetwork():
		return fmt.Errorf("%w: %w", errNotPermitted, err)
	case is(nftables.ErrNotPermitted), is(nftables.ErrNoRoom):
		return err // with a remedy of its own
	case is(unix.EPERM), is(unix.EACCES):
		return fmt.Errorf("%w: %w", errForbidden, err)
	case is(unix.ENOMEM), is(unix.ENOSPC), is(unix.ENOBUFS), is(unix.ENFILE):
		return fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return err
}

const (
	// reasonKubeProxy: this node's kube-proxy would delete our virtual services.
	reasonKubeProxy = "KubeProxyConflict"
	// reasonContested: nftables serves because others remove virtual services again and again. A new
	// process goes by it.
	reasonContested = "IPVSTableContested"
	// reasonSettings: a setting of the kernel, which is not ours, keeps packets of pods from us.
	reasonSettings = "KernelSettings"
	// reasonOthers: other programs undo again and again what the agent keeps in the kernel.
	reasonOthers = "OthersInterfere"
	// reasonProgram: there is no nft, or it is too old.
	reasonProgram = "ProgramMissing"
	// reasonNoRoom: the kernel has no memory for it, or a map is full.
	reasonNoRoom = "NoRoom"
)

// reasonOf returns the condition's reason for a problem.
func reasonOf(err error) string {
	var conflict plan.ConflictError
	var refused notAccepted
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case is(errNotPermitted), is(errForbidden), is(nftables.ErrNotPermitted):
		return v1alpha1.ReasonNotPermitted
	case is(ipvs.ErrNoModule), is(ipvs.ErrNoScheduler), is(nftables.ErrUnsupported):
		return v1alpha1.ReasonKernelModuleMissing
	case is(nftables.ErrNoProgram):
		return reasonProgram
	case is(firewall.ErrBlocked):
		return v1alpha1.ReasonFirewallDrops
	case is(errNoRoom), is(nftables.ErrNoRoom):
		return reasonNoRoom
	case is(errNoClusterSet), is(errNotYetAccepted), is(plan.ErrNoNode):
		return v1alpha1.ReasonPending
	case is(errNoLiveGateway):
		return v1alpha1.ReasonNoLiveGateway
	case is(errSettings):
		return reasonSettings
	case is(errOthers):
		return reasonOthers
	case is(backend.ErrKubeProxy):
		return reasonKubeProxy
	case errors.As(err, &conflict):
		return v1alpha1.ReasonCIDROverlap
	case errors.As(err, &refused):
		return refused.reason
	}
	return v1alpha1.ReasonKernelError
}
