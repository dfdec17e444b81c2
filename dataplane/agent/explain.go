package agent

import (
	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Explained is the answer about one ServiceImport.
type Explained struct {
	// Ports says for each port of each clusterset IP where its flows go from this node, and why
	// each endpoint is in or out.
	Ports []plan.Explanation `json:"ports"`
	// Skipped is what of the ServiceImport cannot be served, and why.
	Skipped []plan.Skipped `json:"skipped,omitempty"`
}

// explain returns what the next plan would be where that backend serves.
func explain(in plan.Input, by v1alpha1.DataplaneBackend) Explained {
	planned, ports := plan.Services(in), plan.Explain(in)
	for i := range ports {
		ports[i].Scheduler = clusterset.SchedulerOn(by, ports[i].Scheduler)
	}
	all := Explained{Ports: ports, Skipped: planned.Skipped}
	for _, c := range backend.CrowdedOf(planned.Services, by) {
		all.Skipped = append(all.Skipped, c.Skipped)
	}
	return all
}
