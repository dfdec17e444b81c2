//go:build e2e

package hostile

import (
	"testing"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

// TestHostile lets west, a node of east's and a tenant of east's do what they may not. After each kind of
// attacks it asserts that honest traffic has lost nothing.
func TestHostile(t *testing.T) {
	s := newSite(t)
	before := s.honest(t, report.Report{})
	for _, kind := range []struct {
		name    string
		attacks func(*testing.T)
	}{
		{"Hub", s.hub}, {"Lies", s.lying}, {"Node", s.takenNode}, {"Tenant", s.tenants}, {"Audience", s.audience}, {"Wire", s.wire},
	} {
		t.Run(kind.name, kind.attacks)
		before = s.honest(t, before)
	}
	t.Run("WithoutFilter", s.withoutFilter)
	t.Run("WithoutExport", s.withoutExport)
	t.Run("Removed", s.removed)
}
