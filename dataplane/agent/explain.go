package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Explained is the answer about one ServiceImport.
type Explained struct {
	// Ports says for each port of each clusterset IP where its flows go from this node, and why each endpoint is in or out.
	Ports []plan.Explanation `json:"ports"`
	// Skipped is what of the ServiceImport cannot be served, and why.
	Skipped []plan.Skipped `json:"skipped,omitempty"`
}

// explain what the next plan would be, where that backend serves.
func explain(in plan.Input, backend v1alpha1.DataplaneBackend) Explained {
	planned := plan.Services(in)
	crowded, _ := crowdedOf(planned.Services, backend)
	ports := plan.Explain(in)
	for i := range ports {
		ports[i].Scheduler = clusterset.SchedulerOn(backend, ports[i].Scheduler)
	}
	return Explained{Ports: ports, Skipped: slices.Concat(planned.Skipped, crowded)}
}

// DebugHandler answers GET /explain/<namespace>/<name> with what Explained has of that ServiceImport, in JSON, and GET
// /explain with the paths of all that this node serves, a line each. It answers 404 for a ServiceImport that this node does
// not serve, and 503 until there is a plan.
func (a *Agent) DebugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.URL.Path+" is nothing here: GET /explain lists what can be asked", http.StatusNotFound)
	})
	for _, path := range []string{"GET /{$}", "GET /explain", "GET /explain/{$}"} {
		mux.HandleFunc(path, a.listExplained)
	}
	mux.HandleFunc("GET /explain/{namespace}/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
		var in plan.Input
		var backend v1alpha1.DataplaneBackend
		var planned bool
		var err error
		asked := a.ask(r.Context(), func() {
			if planned = a.node.planned; planned {
				backend = a.node.servingBy
				in, err = a.serviceInput(r.Context(), name, time.Now())
			}
		})
		switch {
		case asked != nil:
			return // nobody listens any more
		case !planned:
			http.Error(w, "this node has no plan yet: see /readyz", http.StatusServiceUnavailable)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case in.Import == nil:
			http.Error(w, "this node serves no ServiceImport "+name.String()+": there is none, it is headless, or it is not tombolo's", http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", "application/json")
			encoder := json.NewEncoder(w)
			encoder.SetIndent("", "  ")
			_ = encoder.Encode(explain(in, backend)) // an error: the client has gone
		}
	})
	return mux
}

// listExplained answers with the path of each ServiceImport that this node serves.
func (a *Agent) listExplained(w http.ResponseWriter, r *http.Request) {
	var names []types.NamespacedName
	if err := a.ask(r.Context(), func() { names = a.node.table.Names() }); err != nil {
		return // nobody listens any more
	}
	slices.SortFunc(names, func(x, y types.NamespacedName) int { return strings.Compare(x.String(), y.String()) })
	for _, name := range names {
		fmt.Fprintf(w, "/explain/%s\n", name)
	}
}
