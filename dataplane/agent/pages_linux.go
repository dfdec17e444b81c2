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
)

// DebugHandler answers GET /explain/<namespace>/<name> with a plan.Explained of that ServiceImport, in
// JSON. It answers GET /explain with the path of each ServiceImport that this node serves, a line
// each. It answers GET /gateways with a plan.ExplainedGateway for each gateway of this cluster. The
// answer is 404 for a ServiceImport that this node does not serve, and 503 until there is
// a plan.
func (a *Agent) DebugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.URL.Path+" is nothing here: GET /explain lists what can be asked, GET /gateways says which gateways this node uses", http.StatusNotFound)
	})
	for _, path := range []string{"GET /{$}", "GET /explain", "GET /explain/{$}"} {
		mux.HandleFunc(path, a.listExplained)
	}
	mux.HandleFunc("GET /gateways", a.explainGateways)
	mux.HandleFunc("GET /explain/{namespace}/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
		var in plan.Input
		var by v1alpha1.DataplaneBackend
		var known bool
		var err error
		asked := a.loop.Ask(r.Context(), func() {
			if known = a.planner.known; known {
				by = a.services.backend.Serves()
				in, err = a.serviceInput(r.Context(), name, time.Now())
			}
		})
		switch {
		case asked != nil:
			return // the client has gone
		case !known:
			http.Error(w, "this node has no plan yet: see /readyz", http.StatusServiceUnavailable)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case in.Import == nil:
			http.Error(w, "this node serves no ServiceImport "+name.String()+": there is none, it is headless, or it is not tombolo's", http.StatusNotFound)
		default:
			writeJSON(w, explain(in, by))
		}
	})
	return mux
}

func writeJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(answer) // fails if the client has gone
}

// explainGateways answers with a plan.ExplainedGateway for each gateway of this cluster.
func (a *Agent) explainGateways(w http.ResponseWriter, r *http.Request) {
	var all []plan.ExplainedGateway
	if err := a.loop.Ask(r.Context(), func() {
		all = a.gateways.verdicts.explain(a.gateways.in, a.planner.network)
	}); err != nil {
		return // the client has gone
	}
	writeJSON(w, all)
}

// listExplained answers with the path of each ServiceImport that this node serves.
func (a *Agent) listExplained(w http.ResponseWriter, r *http.Request) {
	var names []types.NamespacedName
	if err := a.loop.Ask(r.Context(), func() { names = a.planner.table.Names() }); err != nil {
		return // the client has gone
	}
	slices.SortFunc(names, func(x, y types.NamespacedName) int { return strings.Compare(x.String(), y.String()) })
	for _, name := range names {
		fmt.Fprintf(w, "/explain/%s\n", name)
	}
}
