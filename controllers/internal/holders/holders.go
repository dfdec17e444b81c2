// Package holders owns who has an address in this cluster: a pod, a node, a Service. It reads pods
// only once somebody has asked, since most clusters never ask and all pods are much to watch. It
// judges nothing (package clusterset does).
package holders

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch

// byAddress is the index of pods.
const byAddress = "address"

// ErrUnknown says that the pods are not known yet.
var ErrUnknown = errors.New("the cluster's pods are not known yet")

// Config is what a Directory needs.
type Config struct {
	REST *rest.Config // required
	// Pods are the options of the cache of pods: Scheme, Mapper and HTTPClient.
	Pods cache.Options
	// Local is the cache of Nodes and Services.
	Local cache.Cache  // required
	InUse inuse.Reader // required
}

// Directory knows who has an address. Start must run.
type Directory struct {
	local cache.Cache
	inUse inuse.Reader
	pods  cache.Cache
	asked chan struct{}
	ask   sync.Once
	// mu guards listeners.
	mu        sync.Mutex
	listeners []func(netip.Prefix)
}

// New returns a Directory. It asks the API server which kinds it serves, and no more.
func New(ctx context.Context, c Config) (*Directory, error) {
	options := c.Pods
	options.ByObject = map[client.Object]cache.ByObject{&corev1.Pod{}: {Transform: strip}}
	pods, err := cache.New(c.REST, options)
	if err != nil {
		return nil, fmt.Errorf("preparing the cache of Pods: %w", err)
	}
	if err := pods.IndexField(ctx, &corev1.Pod{}, byAddress, addresses); err != nil {
		return nil, fmt.Errorf("indexing Pods by %s: %w", byAddress, err)
	}
	return &Directory{local: c.Local, inUse: c.InUse, pods: pods, asked: make(chan struct{})}, nil
}

// NeedLeaderElection says that a Directory waits for no leader: it does nothing unless it is asked.
func (d *Directory) NeedLeaderElection() bool { return false }

// Start waits until somebody asks, and then watches the pods until ctx ends.
func (d *Directory) Start(ctx context.Context) error {
	select {
	case <-d.asked:
	case <-ctx.Done():
		return nil
	}
	for _, watched := range []struct {
		in     cache.Cache
		object client.Object
		of     func(any) []netip.Prefix
	}{{d.pods, &corev1.Pod{}, ofPod}, {d.local, &corev1.Node{}, ofNode}, {d.local, &corev1.Service{}, ofService}} {
		informer, err := watched.in.GetInformer(ctx, watched.object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", watched.object, err)
		}
		if _, err := informer.AddEventHandler(d.handler(watched.of)); err != nil {
			return fmt.Errorf("watching %T: %w", watched.object, err)
		}
	}
	return d.pods.Start(ctx)
}

// OnChange has f called with each address or range that somebody gets or loses. Nothing is called
// before somebody has asked. f must be quick.
func (d *Directory) OnChange(f func(netip.Prefix)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listeners = append(d.listeners, f)
}

func (d *Directory) tell(changed []netip.Prefix) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range changed {
		for _, f := range d.listeners {
			f(p)
		}
	}
}

// handler tells of what an object has that it had not, or the other way round.
func (d *Directory) handler(of func(any) []netip.Prefix) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { d.tell(of(o)) },
		UpdateFunc: func(before, after any) { d.tell(differing(of(before), of(after))) },
		DeleteFunc: func(o any) {
			if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = last.Obj
			}
			d.tell(of(o))
		},
	}
}

// Of returns who has each of the addresses, as the namespace sees it. ErrUnknown: nobody can tell yet.
func (d *Directory) Of(ctx context.Context, namespace string, all []netip.Addr) (map[netip.Addr]clusterset.Holder, error) {
	d.ask.Do(func() { close(d.asked) })
	if err := d.known(ctx); err != nil {
		return nil, err
	}
	found, nobodys := make(map[netip.Addr]clusterset.Holder, len(all)), []netip.Addr(nil)
	for _, a := range all {
		holder, err := d.podsAt(ctx, namespace, a)
		if err != nil {
			return nil, err
		}
		if found[a] = holder; holder == (clusterset.Holder{}) {
			nobodys = append(nobodys, a)
		}
	}
	if len(nobodys) == 0 {
		return found, nil
	}
	blocks, err := d.blocks(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range nobodys {
		if i := slices.IndexFunc(blocks, func(b clusterset.Block) bool { return b.Prefix.Contains(a) }); i >= 0 {
			found[a] = clusterset.Holder{Other: blocks[i].Owner}
		}
	}
	return found, nil
}

// blocks are what nodes, Services and the API server have. All addresses of a node's pods count, since
// a pod may get any of them.
func (d *Directory) blocks(ctx context.Context) ([]clusterset.Block, error) {
	server, err := d.inUse.APIServer(ctx)
	if err != nil {
		return nil, err
	}
	blocks, err := d.inUse.Blocks(ctx)
	return append(blocks, server...), err
}

// podsAt says which pods have the address.
func (d *Directory) podsAt(ctx context.Context, namespace string, a netip.Addr) (h clusterset.Holder, err error) {
	var pods corev1.PodList
	if err := d.pods.List(ctx, &pods, client.MatchingFields{byAddress: a.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return h, fmt.Errorf("listing Pods at %s: %w", a, err)
	}
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Namespace == namespace {
			h.OwnPod = true
		} else {
			h.Other = "pod " + p.Namespace + "/" + p.Name
		}
	}
	return h, nil
}

// known waits a moment for the pods.
func (d *Directory) known(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	informer, err := d.pods.GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching Pods: %w", err)
	}
	if informer.HasSynced() || d.pods.WaitForCacheSync(ctx) && informer.HasSynced() {
		return nil
	}
	return ErrUnknown
}

// strip keeps of a Pod its addresses. One that has ended has none, and one in the host's network has
// those of its node, which are not its own.
func strip(object any) (any, error) {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	slim := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion}}
	if !p.Spec.HostNetwork && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
		slim.Status.PodIPs = p.Status.PodIPs
	}
	return slim, nil
}
