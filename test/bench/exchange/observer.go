package exchange

import (
	"context"
	"fmt"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
)

// often is how often a long wait says how far it is.
const often = 15 * time.Second

// observer watches what tombolo publishes in the hub's API server, or imports in a member's. It is
// safe for concurrent use.
type observer struct {
	stop    context.CancelFunc
	stopped chan struct{}

	mu       sync.Mutex
	services map[string]bool      // guarded by mu; ServiceImports that are ready, or ExportedServices, by namespace/name
	slices   map[string]bool      // guarded by mu
	sent     map[string]time.Time // guarded by mu; when an address was written, that no slice has shown yet
	took     []time.Duration      // guarded by mu; until one did
}

// observe watches slices that tombolo wrote and objects of that kind in an API server, until close.
func (s *servers) observe(ctx context.Context, server string, kind client.Object) (*observer, error) {
	ctx, cancel := context.WithCancel(ctx)
	o := &observer{stop: cancel, stopped: make(chan struct{}), services: map[string]bool{}, slices: map[string]bool{}, sent: map[string]time.Time{}}
	ours := labels.SelectorFromSet(labels.Set{discoveryv1.LabelManagedBy: v1alpha1.ManagedBy})
	c, err := cache.New(unlimited(s.Cluster(server)), cache.Options{
		Scheme:           operator.NewScheme(),
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject:         map[client.Object]cache.ByObject{&discoveryv1.EndpointSlice{}: {Label: ours}},
	})
	if err == nil {
		err = o.handle(ctx, c, &discoveryv1.EndpointSlice{}, o.slice)
	}
	if err == nil {
		err = o.handle(ctx, c, kind, o.service)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watching %s: %w", server, err)
	}
	go func() {
		defer close(o.stopped)
		_ = c.Start(ctx) // its only error is that it was started twice
	}()
	if !c.WaitForCacheSync(ctx) {
		o.close()
		return nil, fmt.Errorf("watching %s: %w", server, ctx.Err())
	}
	return o, nil
}

func (o *observer) close() {
	o.stop()
	<-o.stopped
}

func (o *observer) handle(ctx context.Context, c cache.Cache, kind client.Object, note func(obj client.Object, there bool)) error {
	informer, err := c.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { note(obj.(client.Object), true) },
		UpdateFunc: func(_, obj any) { note(obj.(client.Object), true) },
		DeleteFunc: func(obj any) {
			if last, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			note(obj.(client.Object), false)
		},
	})
	return err
}

func (o *observer) service(obj client.Object, there bool) {
	if i, ok := obj.(*mcsv1beta1.ServiceImport); ok {
		there = there && meta.IsStatusConditionTrue(i.Status.Conditions, string(mcsv1beta1.ServiceImportConditionReady))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	set(o.services, client.ObjectKeyFromObject(obj).String(), there)
}

func (o *observer) slice(obj client.Object, there bool) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	set(o.slices, client.ObjectKeyFromObject(obj).String(), there)
	for _, e := range obj.(*discoveryv1.EndpointSlice).Endpoints {
		if sent, waiting := o.sent[e.Addresses[0]]; waiting && there {
			o.took = append(o.took, now.Sub(sent))
			delete(o.sent, e.Addresses[0])
		}
	}
}

func set(all map[string]bool, key string, there bool) {
	if there {
		all[key] = true
	} else {
		delete(all, key)
	}
}

// expect says that the address is being written now.
func (o *observer) expect(address string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[address] = time.Now()
}

// counts are how many services and slices there are.
func (o *observer) counts() (services, slices int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.services), len(o.slices)
}

// latencies are those of the addresses that were shown, and how many were not yet.
func (o *observer) latencies() (shown []time.Duration, missing int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]time.Duration(nil), o.took...), len(o.sent)
}

// waitFor waits until there are so many of both, or alive fails. Now and then it says how far it
// is.
func (o *observer) waitFor(ctx context.Context, alive func() error, services, slices int) error {
	said := time.Now()
	err := await(ctx, timeout, func() (bool, error) {
		haveServices, haveSlices := o.counts()
		if time.Since(said) > often {
			said = time.Now()
			progress("%d of %d services, %d of %d slices", haveServices, services, haveSlices, slices)
		}
		return haveServices == services && haveSlices == slices, alive()
	})
	if err != nil {
		haveServices, haveSlices := o.counts()
		return fmt.Errorf("waiting for %d services and %d slices, there are %d and %d: %w", services, slices, haveServices, haveSlices, err)
	}
	return nil
}
