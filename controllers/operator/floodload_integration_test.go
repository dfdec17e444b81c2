//go:build integration

package operator_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

const (
	flips = 10 * time.Millisecond // between two changes of one object
	// honestServices are those that change, in turn: none so often that it is paced.
	honestServices = 5
	pause          = 200 * time.Millisecond // between two changes of an honest member
	// writers are how many requests of a hostile member run at a time.
	writers = 16
)

// flip changes one of the hostile member's exports over and over, until ctx ends.
func (h hostile) flip(ctx context.Context, t *testing.T) {
	export := h.exportOf(h.scene.namespace, "flip")
	h.over(ctx, t, "export", export, func(n int) { export.Spec.Ports[0].Port = int32(1 + n%2) })
}

// flap changes one of its gateways over and over.
func (h hostile) flap(ctx context.Context, t *testing.T) {
	gateway := h.gateway("flap", v1alpha1.Endpoint{Address: "192.0.2.1", Port: 51820})
	h.over(ctx, t, "gateway", gateway, func(n int) { gateway.Spec.Endpoints[0].Port = v1alpha1.Port(51820 + n%2) })
}

func (h hostile) over(ctx context.Context, t *testing.T, what string, object client.Object, change func(n int)) {
	if err := h.Create(ctx, object); err != nil {
		t.Error(err)
		return
	}
	if gateway, ok := object.(*v1alpha1.GatewayNode); ok {
		gateway.Status.Lane = new(v1alpha1.Lane(0))
		if err := h.Status().Update(ctx, gateway); err != nil {
			t.Error(err)
			return
		}
	}
	changes, start := 0, time.Now()
	for ticker := time.NewTicker(flips); ctx.Err() == nil; <-ticker.C {
		changes++
		change(changes)
		if err := h.Update(ctx, object); err != nil {
			break // ctx has ended
		}
		h.made.Add(1)
	}
	t.Logf("%d changes of one %s in %v", changes, what, time.Since(start).Round(time.Second))
}

// publishLarge publishes one Service with very many ports and endpoints.
func (h hostile) publishLarge(ctx context.Context, t *testing.T, z size) {
	const each = 100
	export := h.exportOf(h.scene.namespace, "large")
	export.Spec.Ports = nil
	var ports []discoveryv1.EndpointPort
	for i := range z.ports {
		name, number := fmt.Sprint("p", i), int32(1000+i)
		export.Spec.Ports = append(export.Spec.Ports, mcsv1beta1.ServicePort{Name: name, Protocol: "TCP", Port: number})
		ports = append(ports, discoveryv1.EndpointPort{Name: &name, Protocol: ptr.To(export.Spec.Ports[i].Protocol), Port: &number})
	}
	objects := []client.Object{export}
	for n := range z.endpoints / each {
		slice := members.Slice(h.scene.namespace, clusterset.HubSliceName("west", h.scene.namespace, "large", n), "")
		slice.Labels = map[string]string{v1alpha1.LabelNamespace: h.scene.namespace, v1alpha1.LabelServiceName: "large",
			v1alpha1.LabelSourceCluster: "west", discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}
		slice.Ports = ports
		for i := range each {
			address := fmt.Sprintf("10.3.%d.%d", 1+(n*each+i)/250, 1+(n*each+i)%250)
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
		}
		objects = append(objects, slice)
	}
	for _, o := range objects {
		if err := h.Create(ctx, o); err != nil {
			t.Error(err)
			return
		}
		h.made.Add(1)
	}
}

// publishMany publishes so many exports.
func (h hostile) publishMany(ctx context.Context, t *testing.T, count int) {
	start, names := time.Now(), make(chan int)
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for i := range names {
				if err := h.Create(ctx, h.exportOf(h.scene.namespace, fmt.Sprint("flood-", i))); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				h.made.Add(1)
			}
		})
	}
	for i := range count {
		names <- i
	}
	close(names)
	running.Wait()
	t.Logf("%d exports in %v", count, time.Since(start).Round(time.Second))
}

// removeFlood removes what the hub has of the hostile member, which may take several requests.
func (s *scene) removeFlood(t *testing.T) {
	t.Helper()
	for _, kind := range []client.Object{&v1alpha1.ExportedService{}, &v1alpha1.GatewayNode{}, &discoveryv1.EndpointSlice{}} {
		for tries := 0; ; tries++ {
			err := s.hub.DeleteAllOf(t.Context(), kind, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.LabelSourceCluster: "west"})
			if err == nil {
				break
			}
			if tries == 20 {
				t.Fatal(err)
			}
		}
	}
}

// changes measures how long a change of an honest member takes to arrive at another one.
type changes struct {
	scene  *scene
	slices []*discoveryv1.EndpointSlice // in east
	n      int
	took   []*passage // since the last summary

	mu      sync.Mutex
	address string        // guarded by mu; of the endpoint that is expected
	now     *passage      // guarded by mu; nil: none is expected
	done    chan struct{} // guarded by mu; closed when it has arrived
}

// changes makes east export some Services, and watches where their changes come by.
func (s *scene) changes(t *testing.T) *changes {
	t.Helper()
	c := &changes{scene: s}
	east, north := s.members["east"], s.members["north"]
	for i := range honestServices {
		name := fmt.Sprint("honest-", i)
		east.offer(t, name, fmt.Sprintf("10.1.0.%d", 10+i))
		east.export(t, name)
		s.wantAll(t, name, 1)
		slice := &discoveryv1.EndpointSlice{}
		if err := east.Get(t.Context(), types.NamespacedName{Namespace: s.namespace, Name: name + "-1"}, slice); err != nil {
			t.Fatal(err)
		}
		c.slices = append(c.slices, slice)
	}
	ofEast := client.MatchingLabels{v1alpha1.LabelSourceCluster: "east"}
	c.watch(t, east.Cluster, inEast, client.HasLabels{discoveryv1.LabelServiceName})
	c.watch(t, s.hub, onHub, ofEast)
	c.watch(t, north.Cluster, arrived, ofEast)
	c.onWrite(east.toHub, leaving)
	c.onWrite(north.toOwn, coming)
	return c
}

// watch notes the step when the cluster's API server tells that it has the change.
func (c *changes) watch(t *testing.T, at *members.Cluster, s step, options ...client.ListOption) {
	t.Helper()
	watcher, err := client.NewWithWatch(at.RESTConfig(), client.Options{Scheme: operator.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	events, err := watcher.Watch(t.Context(), &discoveryv1.EndpointSliceList{}, append(options, client.InNamespace(c.scene.namespace))...)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for event := range events.ResultChan() {
			if slice, ok := event.Object.(*discoveryv1.EndpointSlice); ok {
				c.see(slice, s)
			}
		}
	})
	t.Cleanup(func() {
		events.Stop()
		running.Wait()
	})
}

func (c *changes) see(slice *discoveryv1.EndpointSlice, s step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil || len(slice.Endpoints) == 0 || slice.Endpoints[0].Addresses[0] != c.address {
		return
	}
	c.now.note(s)
	if s == arrived {
		c.now = nil
		close(c.done)
	}
}

// passing is the change that is on its way, nil if none is.
func (c *changes) passing() *passage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// next changes an endpoint, and waits until that has arrived.
func (c *changes) next(t *testing.T) {
	t.Helper()
	c.n++
	slice, address := c.slices[c.n%honestServices], fmt.Sprintf("10.1.%d.%d", 1+c.n/250%250, 1+c.n%250)
	p, done := &passage{}, make(chan struct{})
	c.mu.Lock()
	c.address, c.now, c.done = address, p, done
	c.mu.Unlock()
	slice.Endpoints[0].Addresses = []string{address}
	p.note(begun)
	if err := c.scene.members["east"].Update(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("endpoint %s has not arrived within a minute", address)
	}
	c.took = append(c.took, p)
	time.Sleep(pause)
}

func (c *changes) count() int { return len(c.took) }

// summary is that of the changes since the last one.
func (c *changes) summary() latencies {
	defer func() { c.took = nil }()
	return latenciesOf(c.took)
}
