package agent

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// problems are what keeps a node from being as planned, by what has the problem: a part of the
// kernel, an input of the plan, or the report.
type problems map[string]error

// set remembers the part's error, nil if it has none, and reports whether that is new: its text
// differs from the one before.
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

// first returns the problem that explains the others; nil if there is no problem. That the
// condition cannot be written is not one of them.
func (p problems) first() error {
	for _, part := range [...]string{
		"clusterset", "backend", "services", "filter", "routes", "leftovers", "network", "firewall", "cache", "probes",
	} {
		if err := p[part]; err != nil {
			return err
		}
	}
	return nil
}

var (
	errNoClusterSet   = fmt.Errorf("there is no ClusterSet named %q: this cluster is in no clusterset", v1alpha1.ClusterSetName)
	errNoLiveGateway  = errors.New("no gateway of this cluster")
	errNotYetAccepted = errors.New("the operator has not said yet whether the ClusterSet is accepted: is it running?")
)

// notAccepted is a ClusterSet that the operator refused.
type notAccepted struct{ reason, message string }

// Error is the operator's own reason and message.
func (e notAccepted) Error() string {
	return fmt.Sprintf("the ClusterSet is not accepted (%s): %s", e.reason, e.message)
}

// accepted returns nil if the ClusterSet may be acted on. Only the operator can see what a VIP CIDR
// might take away, so its condition must be about this very generation.
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
