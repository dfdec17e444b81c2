package agent

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// problems are what keeps a node from being as planned, by part.
type problems map[string]error

// set remembers the part's error, nil if it is fine, and tells whether its text is another one than before.
func (p *problems) set(part string, err error) (fresh bool) {
	if *p == nil {
		*p = problems{}
	}
	before := (*p)[part]
	if err == nil {
		delete(*p, part)
		return before != nil
	}
	(*p)[part] = err
	return before == nil || before.Error() != err.Error()
}

// order of the parts: what comes first explains what follows.
var order = []string{"clusterset", "backend", "services", "filter", "routes", "network", "cache"}

// first returns the problem that comes first, nil if there is none.
func (p problems) first() error {
	for _, part := range order {
		if err := p[part]; err != nil {
			return err
		}
	}
	return nil
}

// What the kernel says in many ways, in one sentence each.
var (
	errNotPermitted = errors.New("the dataplane may not change the network: it needs the capability NET_ADMIN (securityContext.capabilities.add of its DaemonSet)")
	errForbidden    = errors.New("the kernel refuses it, though the dataplane has the capability NET_ADMIN: see whether a security module (seccomp, AppArmor, SELinux) forbids it")
	errNoRoom       = errors.New("the kernel has no room for it: give the node more memory, or serve fewer endpoints")
)

// remedied adds the remedy to what the kernel said no to. Nothing is half done meanwhile: a transaction of nftables is
// taken as a whole or not at all, and what IPVS had it keeps.
func remedied(err error) error {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case err == nil:
		return nil
	case !mayChangeNetwork():
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
	// reasonProgram: there is no nft, or it is too old.
	reasonProgram = "ProgramMissing"
	// reasonNoRoom: the kernel has no memory for it, or a map is full.
	reasonNoRoom = "NoRoom"
)

// reasonOf is the condition's reason for a problem.
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
	case is(errNoRoom), is(nftables.ErrNoRoom):
		return reasonNoRoom
	case is(errNoClusterSet), is(errNoVerdict), is(plan.ErrNoNode):
		return v1alpha1.ReasonPending
	case is(errKubeProxy):
		return reasonKubeProxy
	case errors.As(err, &conflict):
		return v1alpha1.ReasonCIDROverlap
	case errors.As(err, &refused):
		return refused.reason
	}
	return v1alpha1.ReasonKernelError
}
