package agent

import (
	"context"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/internal/node"
)

// sysctls are the part that sets what IPVS relies on. Without IPVS there is nothing to look at.
type sysctls struct {
	settings ipvs.Sysctls
	services *services
	// drift are the sysctls that are not as they should be, in words; nil until they were looked
	// at.
	drift []string
}

func (s *sysctls) name() string { return "sysctls" }

func (s *sysctls) due(_ context.Context, _ time.Time, cause node.Cause) bool {
	if s.drift == nil || cause == node.Marked {
		return s.drift == nil
	}
	return len(s.drift) > 0 || s.services.byIPVS() && (cause == node.Audited || s.settings.Differ())
}

// sync sets the sysctls that may be set, and remembers the others.
func (s *sysctls) sync(context.Context, time.Time, node.Cause) (did backend.Change, err error) {
	first := s.drift == nil
	s.drift = []string{}
	if !s.services.byIPVS() {
		return did, nil
	}
	drift, written := s.settings.Set()
	s.drift = append(s.drift, drift...)
	did.Written = len(written)
	if !first {
		did.Mended = written
	}
	return did, nil
}

// failure is nil: a node serves also where these are not as they should be. The condition says
// which.
func (s *sysctls) failure() error { return nil }
