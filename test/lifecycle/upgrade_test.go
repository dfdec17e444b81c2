//go:build e2e

package lifecycle

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

var previous = flag.String("previous", "", "`folder` with config/ of the version to upgrade from, which the lab has installed; empty skips TestUpgrade")

// parts are what can be upgraded by itself. The hub, which has no processes, goes with the CRDs.
var parts = []string{"CRDs", "operator", "gateway", "dataplane"}

// TestUpgrade begins with the previous version. It upgrades all of one cluster, then of the other
// one, and goes back; then it walks through all mixtures of the parts' versions. Each step is made
// in one cluster and then in the other one. In each of them no request to a Service of another
// cluster fails, no connection breaks, no packet and no import is lost, no gateway gets another key, and
// what is exported meanwhile is imported and answers.
func TestUpgrade(t *testing.T) {
	if *previous == "" {
		t.Skip("make test-upgrade runs it: it needs a build of the previous version")
	}
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	u := upgrade{Shell: sh, versions: [2]version{
		{name: "previous", config: filepath.Join(*previous, "config"), image: "tombolo-net/tombolo:previous"},
		{name: "this", config: "../../config", image: "tombolo-net/tombolo:upgraded"},
	}}
	vip, node := serve(t, sh)
	witness(t, sh, node)
	u.serveFresh(t)
	l := startLoad(t, vip)
	before, imports, keys := ask(t, l), u.imports(t), u.gatewayKeys(t)
	walk := walkStates(len(parts))
	for i, state := range walk[1:] {
		clusters := []string{exporter, importer}
		if state < walk[i] { // the way back
			slices.Reverse(clusters)
		}
		for _, cluster := range clusters {
			before = u.step(t, l, before, cluster, walk[i], state)
			if got := u.imports(t); got != imports {
				t.Errorf("the imports were %s, and are %s", imports, got)
			}
			if got := u.gatewayKeys(t); got != keys {
				t.Errorf("the gateways' public keys were %s, and are %s", keys, got)
			}
			u.keysInAPI(t, cluster, state)
			u.exchange(t, fmt.Sprintf("fresh-%d-%s", i, cluster))
		}
	}
}

// upgrade changes versions of a lab.
type upgrade struct {
	shell.Shell
	versions [2]version // by the bit in a state
}

// version is one build of tombolo with its manifests.
type version struct{ name, config, image string }

// step takes one cluster from one state to the next, and judges what became of the load meanwhile.
func (u upgrade) step(t *testing.T, l *report.Client, before report.Report, cluster string, from, to int) report.Report {
	t.Helper()
	begin := time.Now()
	changed, v := partsOf(from^to), u.versions[0]
	if to > from {
		v = u.versions[1]
	}
	name := fmt.Sprintf("%s gets %v of %s version, and has now upgraded %v", cluster, changed, v.name, partsOf(to))
	if err := errors.Join(u.change(t.Context(), cluster, changed, v), u.settled(t.Context())); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	after := ask(t, l)
	if err := after.Fault(before); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	t.Logf("%s: %s, %s", name, time.Since(begin).Round(time.Second), after.Progress(before))
	return after
}

// partsOf names the parts whose bits are set.
func partsOf(state int) []string {
	var names []string
	for i, part := range parts {
		if state>>i&1 == 1 {
			names = append(names, part)
		}
	}
	return names
}

// change applies what a version has of some parts, as one manifest, and returns when all of their
// processes are new.
func (u upgrade) change(ctx context.Context, cluster string, changed []string, v version) error {
	if slices.Contains(changed, parts[0]) {
		hub, err := u.manifests(ctx, v, "hub")
		if err := errors.Join(err, u.Apply(ctx, "hub", strings.Join(hub, separator))); err != nil {
			return err
		}
	}
	member, err := u.manifests(ctx, v, "default")
	if err != nil {
		return err
	}
	objects, err := of(changed, member)
	if err := errors.Join(err, u.Apply(ctx, cluster, strings.Join(objects, separator))); err != nil {
		return err
	}
	for _, part := range changed {
		kind, ok := map[string]string{"operator": "deployment", "gateway": "daemonset", "dataplane": "daemonset"}[part]
		if !ok {
			continue
		}
		if _, err := u.Kubectl(ctx, cluster, "--namespace", "tombolo-system", "rollout", "status", kind+"/tombolo-"+part, "--timeout="+rolledWithin.String()); err != nil {
			return err
		}
	}
	if v == u.versions[0] && slices.Contains(changed, "gateway") {
		return u.admitAll(ctx, cluster)
	}
	return nil
}

// admitAll removes the filter that the previous version's gateways do not know, as docs/upgrade.md
// says. They would leave it as it is, and nothing that is exported later would be reached.
func (u upgrade) admitAll(ctx context.Context, cluster string) error {
	pods, err := u.Kubectl(ctx, cluster, "--namespace", "tombolo-system", "get", "pods", "--selector", "app.kubernetes.io/name=tombolo-gateway", "--output", "name")
	for _, pod := range strings.Fields(pods) {
		_, failed := u.InPod(ctx, cluster, "tombolo-system", pod, "nft", "delete", "table", "inet", "tombolo-ingress")
		err = errors.Join(err, failed)
	}
	return err
}

// separator stands between the objects of a manifest.
const separator = "\n---\n"

var image = regexp.MustCompile(`image: \S*tombolo-net/tombolo\S*`)

// manifests renders a folder of a version's config, with the version's image.
func (u upgrade) manifests(ctx context.Context, v version, folder string) ([]string, error) {
	text, err := shell.Run(ctx, "", "kubectl", "kustomize", filepath.Join(v.config, folder))
	return strings.Split(image.ReplaceAllString(text, "image: "+v.image), separator), err
}

// of returns the objects of some parts, of all that a member has: the operator's are those that are
// not another part's.
func of(changed, objects []string) ([]string, error) {
	var found []string
	for _, object := range objects {
		var o metav1.PartialObjectMetadata
		if err := yaml.Unmarshal([]byte(object), &o); err != nil {
			return nil, err
		}
		owner := "operator"
		switch {
		case o.Kind == "CustomResourceDefinition":
			owner = parts[0]
		case strings.Contains(o.Name, "gateway"):
			owner = "gateway"
		case strings.Contains(o.Name, "dataplane"):
			owner = "dataplane"
		}
		if slices.Contains(changed, owner) {
			found = append(found, object)
		}
	}
	return found, nil
}

// settled returns once both clusters reach the hub and each other.
func (u upgrade) settled(ctx context.Context) error {
	for _, cluster := range []string{exporter, importer} {
		for _, args := range [][]string{
			{"--for=condition=HubConnected", "clusterset/default"},
			{"--for=condition=Reachable", "remotecluster", "--all"},
		} {
			if _, err := u.Kubectl(ctx, cluster, append([]string{"wait", "--timeout=" + within.String()}, args...)...); err != nil {
				return err
			}
		}
	}
	return nil
}
