package agent

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

func TestReasons(t *testing.T) {
	for _, tt := range []struct {
		want string
		err  error
	}{
		{v1alpha1.ReasonKernelModuleMissing, fmt.Errorf("listing: %w", ipvs.ErrNoModule)},
		{v1alpha1.ReasonNotPermitted, remedied(fmt.Errorf("listing: %w", unix.EPERM))},
		{v1alpha1.ReasonCIDROverlap, plan.ConflictError{}},
		{v1alpha1.ReasonPending, plan.ErrNoNode},
		{v1alpha1.ReasonInvalidCIDR, notAccepted{reason: v1alpha1.ReasonInvalidCIDR}},
		{v1alpha1.ReasonKernelError, unix.ENOBUFS},
		{reasonKubeProxy, fmt.Errorf("%w: x", backend.ErrKubeProxy)},
		{reasonProgram, fmt.Errorf("starting: %w", nftables.ErrNoProgram)},
		{reasonNoRoom, fmt.Errorf("writing: %w", nftables.ErrNoRoom)},
	} {
		if got := reasonOf(tt.err); got != tt.want {
			t.Errorf("%v: reason %s, want %s", tt.err, got, tt.want)
		}
	}
}

func TestProblems(t *testing.T) {
	var p problems
	first, second := errors.New("first"), errors.New("second")
	steps := []struct {
		part  string
		err   error
		fresh bool
		want  error
	}{
		{"routes", nil, false, nil},
		{"routes", second, true, second},
		{"routes", errors.New("second"), false, second},
		{"services", first, true, first},
		{"condition", errors.New("not the kernel's"), true, first},
		{"services", nil, true, second},
		{"routes", nil, true, nil},
	}
	for i, s := range steps {
		if fresh := p.set(s.part, s.err); fresh != s.fresh {
			t.Errorf("step %d: fresh %t", i, fresh)
		}
		if got := p.first(); fmt.Sprint(got) != fmt.Sprint(s.want) {
			t.Errorf("step %d: first is %v, want %v", i, got, s.want)
		}
	}
}
