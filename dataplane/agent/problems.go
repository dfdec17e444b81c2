package agent

import (
	"errors"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
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

// reasonKubeProxy: this node's kube-proxy would delete our virtual services.
const reasonKubeProxy = "KubeProxyConflict"

// reasonOf is the condition's reason for a problem.
func reasonOf(err error) string {
	var conflict plan.ConflictError
	var refused notAccepted
	switch {
	case errors.Is(err, errNotPermitted):
		return v1alpha1.ReasonNotPermitted
	case errors.Is(err, ipvs.ErrNoModule), errors.Is(err, ipvs.ErrNoScheduler):
		return v1alpha1.ReasonKernelModuleMissing
	case errors.Is(err, errNoClusterSet), errors.Is(err, errNoVerdict), errors.Is(err, plan.ErrNoNode):
		return v1alpha1.ReasonPending
	case errors.Is(err, errKubeProxy):
		return reasonKubeProxy
	case errors.As(err, &conflict):
		return v1alpha1.ReasonCIDROverlap
	case errors.As(err, &refused):
		return refused.reason
	}
	return v1alpha1.ReasonKernelError
}
