package agent

import (
	"context"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/internal/node"
)

// sysctls are the part that sets what IPVS relies on. While IPVS does not serve there is nothing to look
// at.
type sysctls struct {
	settings ipvs.Sysctls
	services *services
	// looked is true if they were looked at since IPVS serves.
	looked bool
	// drift are the sysctls that are not as they should be, in words.
	drift []string
}

func (s *sysctls) name() string { return "sysctls" }

func (s *sysctls) due(_ context.Context, _ time.Time, cause node.Cause) bool {
	serves := s.services.byIPVS()
	if serves != s.looked {
		return true
	}
	return serves && cause != node.Marked && (len(s.drift) > 0 || cause == node.Audited || s.settings.Differ())
}

// sync sets the sysctls that may be set, and remembers the others.
func (s *sysctls) sync(context.Context, time.Time, node.Cause) (did backend.Change, err error) {
	first := !s.looked
	s.looked, s.drift = s.services.byIPVS(), nil
	if !s.looked {
		return did, nil
	}
	drift, written := s.settings.Set()
	s.drift = drift
	did.Written = len(written)
	if !first {
		did.Mended = written
	}
	return did, nil
}

// failure is nil: a node serves also where these are not as they should be. The condition says
// which.
func (s *sysctls) failure() error { return nil }
