package agent

import (
	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// explain returns what the next plan would be where that backend serves.
func explain(in plan.Input, by v1alpha1.DataplaneBackend) plan.Explained {
	planned, ports := plan.Services(in), plan.Explain(in)
	for i := range ports {
		ports[i].Scheduler = clusterset.SchedulerOn(by, ports[i].Scheduler)
	}
	all := plan.Explained{Ports: ports, Skipped: planned.Skipped}
	for _, c := range backend.CrowdedOf(planned.Services, by) {
		all.Skipped = append(all.Skipped, c.Skipped)
	}
	return all
}
