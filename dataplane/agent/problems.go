package agent

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// problems are what keeps a node from being as planned, by what has the problem: a part of the kernel, an input of the
// plan, or the report.
type problems map[string]error

// set remembers the part's error, nil if it has none, and reports whether that is new: its text differs from the one
// before.
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

// first returns the problem that explains the others; nil if there is no problem. That the condition cannot be written is
// not one of them.
func (p problems) first() error {
	for _, part := range [...]string{"clusterset", "backend", "services", "filter", "routes", "network", "cache"} {
		if err := p[part]; err != nil {
			return err
		}
	}
	return nil
}

// What the kernel says in several ways, in one sentence each.
var (
	errNotPermitted = errors.New("the dataplane may not change the network: it needs the capability NET_ADMIN (securityContext.capabilities.add of its DaemonSet)")
	errForbidden    = errors.New("the kernel refuses it, though the dataplane has the capability NET_ADMIN: check whether a security module (seccomp, AppArmor, SELinux) forbids it")
	errNoRoom       = errors.New("the kernel has no room for it: give the node more memory, or serve fewer endpoints")
)

// remedied adds the remedy to an error of the kernel. Nothing is half done meanwhile: the kernel accepts a transaction of
// nftables as a whole or not at all, and IPVS keeps what it had.
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
	case is(errNoRoom), is(nftables.ErrNoRoom):
		return reasonNoRoom
	case is(errNoClusterSet), is(errNotYetAccepted), is(plan.ErrNoNode):
		return v1alpha1.ReasonPending
	case is(backend.ErrKubeProxy):
		return reasonKubeProxy
	case errors.As(err, &conflict):
		return v1alpha1.ReasonCIDROverlap
	case errors.As(err, &refused):
		return refused.reason
	}
	return v1alpha1.ReasonKernelError
}

var (
	errNoClusterSet   = fmt.Errorf("there is no ClusterSet named %q: this cluster is in no clusterset", v1alpha1.ClusterSetName)
	errNotYetAccepted = errors.New("the operator has not said yet whether the ClusterSet is accepted: is it running?")
)

// notAccepted is a ClusterSet that the operator refused.
type notAccepted struct{ reason, message string }

// Error is the operator's own reason and message.
func (e notAccepted) Error() string {
	return fmt.Sprintf("the ClusterSet is not accepted (%s): %s", e.reason, e.message)
}

// accepted returns nil if the ClusterSet may be acted on. Only the operator can see what a VIP CIDR might take away, so
// its condition must be about this very generation.
func accepted(set *v1alpha1.ClusterSet) error {
	c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionAccepted)
	switch {
	case c == nil || c.ObservedGeneration < set.Generation:
		return errNotYetAccepted
	case c.Status != metav1.ConditionTrue:
		return notAccepted{reason: c.Reason, message: c.Message}
	}
	return nil
}
