//go:build integration

package operator_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// serviceImport returns the cluster's, nil if there is none.
func serviceImport(t *testing.T, c *members.Cluster, namespace, name string) *mcsv1beta1.ServiceImport {
	t.Helper()
	found := &mcsv1beta1.ServiceImport{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, found); err != nil {
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		return nil
	}
	return found
}

func waitImported(t *testing.T, c *members.Cluster, namespace, name string, want int) {
	t.Helper()
	members.Eventually(t, func() error {
		ready, err := imported(t.Context(), c, namespace, name)
		if err == nil && len(ready) != want {
			err = fmt.Errorf("cluster %s imports %v for %s/%s, want %d addresses", c.Name(), ready, namespace, name, want)
		}
		return err
	})
}

func waitHub(t *testing.T, c *members.Cluster, reason string) string {
	t.Helper()
	message := ""
	members.Eventually(t, func() error {
		set := &v1alpha1.ClusterSet{}
		if err := c.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionHubConnected)
		if condition == nil || condition.Reason != reason {
			return fmt.Errorf("cluster %s: HubConnected is %+v, want %s", c.Name(), condition, reason)
		}
		message = condition.Message
		return nil
	})
	return message
}

// A hub that loses what members published, or that cannot be reached, takes nothing away; what
// changed meanwhile arrives afterwards.
func TestHubLossAndOutage(t *testing.T) {
	east, west, hub := clusters["east"], clusters["west"], clusters[members.HubName]
	gate := members.NewGate(t, hub)
	for i, c := range []*members.Cluster{east, west} {
		access := hub.Approve(t, v1alpha1.DefaultHubNamespace, c.Name(), v1alpha1.MemberSpec{
			Index: int32(i + 1), CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", i+1))},
		})
		url := hub.RESTConfig().Host
		if c == west {
			url, access = gate.URL(), gate.Access(access)
		}
		c.JoinAt(t, c.Name(), url, access)
		start(t, c, "")
		c.MakeNamespace(t, "outage", nil)
	}
	exports := map[string]*mcsv1beta1.ServiceExport{}
	for i, name := range []string{"one", "two", "three"} {
		east.Make(t, members.Service("outage", name))
		east.Make(t, members.Slice("outage", name+"-1", name, fmt.Sprintf("10.1.7.%d", i)))
		exports[name] = members.Export("outage", name)
	}
	east.Make(t, exports["one"])
	east.Make(t, exports["two"])
	waitImported(t, west, "outage", "one", 1)
	waitImported(t, west, "outage", "two", 1)
	before := serviceImport(t, west, "outage", "one")

	for _, kind := range []client.Object{&discoveryv1.EndpointSlice{}, &v1alpha1.ExportedService{}} {
		if err := hub.DeleteAllOf(t.Context(), kind, client.InNamespace(v1alpha1.DefaultHubNamespace)); err != nil {
			t.Fatal(err)
		}
	}
	left := &v1alpha1.ExportedServiceList{}
	members.Eventually(t, func() error { // published again
		err := hub.List(t.Context(), left, client.InNamespace(v1alpha1.DefaultHubNamespace))
		if err == nil && len(left.Items) != 2 {
			err = fmt.Errorf("%d exports are on the hub, want 2", len(left.Items))
		}
		return err
	})
	waitImported(t, west, "outage", "one", 1)
	if after := serviceImport(t, west, "outage", "one"); after == nil || after.UID != before.UID || after.Spec.IPs[0] != before.Spec.IPs[0] {
		t.Errorf("the hub's loss took the import away: %+v", after)
	}

	gate.Cut()
	message := waitHub(t, west, v1alpha1.ReasonUnreachable)
	if !strings.Contains(message, gate.URL()) || !strings.Contains(message, "stays") {
		t.Errorf("the message is no help: %s", message)
	}
	if err := east.Delete(t.Context(), exports["one"]); err != nil {
		t.Fatal(err)
	}
	east.Make(t, exports["three"])
	waitImported(t, east, "outage", "one", 0)
	waitImported(t, east, "outage", "three", 1)
	waitImported(t, west, "outage", "one", 1)
	waitImported(t, west, "outage", "three", 0)

	gate.Heal()
	waitHub(t, west, v1alpha1.ReasonConnected)
	waitImported(t, west, "outage", "one", 0)
	waitImported(t, west, "outage", "two", 1)
	waitImported(t, west, "outage", "three", 1)
}

// The operator starts, serves health and metrics and reports with the hub unreachable, and heals
// when that is mended.
func TestStartsWithoutHub(t *testing.T) {
	east, hub := clusters["east"], clusters[members.HubName]
	access := hub.Approve(t, v1alpha1.DefaultHubNamespace, "east", v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}})
	east.JoinAt(t, "east", "https://127.0.0.1:1", access)
	address := freeAddress(t)
	start(t, east, address)
	waitHub(t, east, v1alpha1.ReasonUnreachable)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close() // it was read
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", path, response.Status, err)
		}
		if path == "/metrics" && !strings.Contains(string(body), "tombolo_operator_hub_connected 0") {
			t.Error("the metrics do not say that the hub is not connected")
		}
	}
	set := &v1alpha1.ClusterSet{ObjectMeta: members.Meta("", v1alpha1.ClusterSetName)}
	members.Update(t, east, set, func() { set.Spec.Hub.Server = hub.RESTConfig().Host })
	waitHub(t, east, v1alpha1.ReasonConnected)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // its port is all that was wanted
	return listener.Addr().String()
}

// TestOwnAPIServerAway: an operator whose own API server does not answer for a while goes on where
// it was, and does not end for a lease that nobody else has taken: it would come back to an API
// server that is as busy as before, and would have everything to read again.
func TestOwnAPIServerAway(t *testing.T) {
	s := newScene(t, "east", "west")
	east := s.members["east"]
	east.offer(t, "web", "10.1.0.1")
	east.toOwn.Cut()
	select {
	case err := <-east.operator.done:
		east.operator = nil
		t.Fatalf("the operator has ended: %v", err)
	case <-time.After(20 * time.Second):
	}
	east.export(t, "web")
	east.toOwn.Heal()
	s.wantAll(t, "web", 1)
}
