package agent

import (
	"encoding/json"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// DebugHandler answers GET /explain/<namespace>/<name> with a JSON list: for each port of each clusterset IP of that
// ServiceImport, where its flows go from this node, and why each endpoint is in or out (plan.Explanation). It answers 404
// for a ServiceImport that this node does not serve, and 503 until there is a plan.
func (a *Agent) DebugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /explain/{namespace}/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
		var in plan.Input
		var planned bool
		var err error
		asked := a.ask(r.Context(), func() {
			if planned = a.node.planned; planned {
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
			_ = encoder.Encode(plan.Explain(in)) // an error: the client has gone
		}
	})
	return mux
}
