package plan

import (
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Input is what the virtual services of one ServiceImport follow from.
type Input struct {
	// Import is the ServiceImport.
	Import *mcsv1beta1.ServiceImport // required
	// Slices are those labelled with its name; others' are left out.
	Slices []*discoveryv1.EndpointSlice
	// Policy is the TrafficPolicy in effect for the import.
	Policy *v1alpha1.TrafficPolicy // optional, default none
	// Place is where the plan is for.
	Place Place // required
	// Now is the time of the plan.
	Now time.Time // required
	// Memory is what the last plan for this import left. The zero Memory: there was none, and
	// nothing has failed.
	Memory Memory
}

// Output is the plan for one ServiceImport.
type Output struct {
	// Services sorted by their keys: one for each address and port of the import.
	Services []VirtualService
	// Memory is for the next plan.
	Memory Memory
	// Again is when to plan anew even if nothing has changed by then; zero: not before something
	// does.
	Again time.Time
	// Skipped is what was left out because it cannot be served, sorted.
	Skipped []Skipped
}

// Skipped is a part of an import that cannot be served; the rest of it is.
type Skipped struct {
	// What it is: "endpoint 10.1.0.5 of cluster east", for example.
	What string `json:"what"`
	// Why it is left out, and the remedy.
	Why string `json:"why"`
	// Count is how many things this is about: 1, but for a line that sums up.
	Count int `json:"count"`
}
