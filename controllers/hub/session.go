package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
)

// The first listing of the hub goes on as long as the hub sends something now and then, up to a
// limit. Starting it again would make a busy hub busier.
const (
	syncSilence = 30 * time.Second
	syncTries   = 4 // of syncSilence each
)

// Indexes of the hub's cache.
const (
	indexCluster   = "cluster"   // objects by source cluster
	indexService   = "service"   // EndpointSlices by serviceKey
	indexBase      = "base"      // EndpointSlices by their name without the number
	indexExported  = "exported"  // ExportedServices by namespace/name
	indexNamespace = "namespace" // ExportedServices by namespace
)

// session is one connection with the hub and a synced cache of its namespace.
type session struct {
	access access
	reader client.Reader // of the cache
	direct client.Client // of the hub itself
	cache  cache.Cache
	cancel context.CancelFunc
	done   chan struct{} // closed when the cache has stopped
	remote *atomic.Value // of the transport
	// lastMembership is the reason that membership returned last, a string. What the admin said
	// holds while the hub is away.
	lastMembership atomic.Value
	published      published
}

// openSession returns once the cache has synced. The cache then runs until close or the end of ctx.
// It reports to h each heartbeat, and each watch that ends with an error. The error is a lost
// if the hub goes away, or begins to refuse us, meanwhile.
func openSession(ctx context.Context, a access, t *transport, direct client.Client, h *Hub) (*session, error) {
	c, err := cache.New(t.config, cache.Options{
		HTTPClient:                  t.http,
		Scheme:                      h.config.Scheme,
		Mapper:                      &rememberingMapper{RESTMapper: direct.RESTMapper()},
		DefaultNamespaces:           map[string]cache.Config{a.namespace: {}},
		DefaultTransform:            cache.TransformStripManagedFields(),
		ByObject:                    h.heartbeats.byLease(),
		ReaderFailOnMissingInformer: true,
		DefaultWatchErrorHandler: func(context.Context, *toolscache.Reflector, error) {
			h.watchBroke() // the probe that follows reports what is wrong, once
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the cache of hub %s: %w", a.server, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &session{access: a, reader: c, direct: direct, cache: c, cancel: cancel, done: make(chan struct{}), remote: t.remote}
	if err := s.index(ctx); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(s.done)
		_ = c.Start(ctx) // its only error is that it was started twice
	}()
	start := time.Now()
	syncing, giveUp := context.WithCancelCause(ctx)
	var checks sync.WaitGroup
	checks.Go(func() { h.checkWhile(syncing, a, direct, giveUp) })
	synced := waitSync(syncing, c.WaitForCacheSync, t.heardSince)
	giveUp(nil)
	checks.Wait()
	if !synced {
		s.close()
		if gone := (lost{}); errors.As(context.Cause(syncing), &gone) {
			return nil, gone
		}
		return nil, fmt.Errorf("listing namespace %s of hub %s: not done after %v", a.namespace, a.server, time.Since(start).Round(syncSilence))
	}
	return s, nil
}

// lost is the error of a hub that is lost while its first listing goes on.
type lost struct{ status Status }

func (l lost) Error() string { return l.status.Message }

// checkWhile asks, until ctx ends, what a step asks of a session. If the hub is lost, it gives up
// with a lost. Without it nobody would notice: a cache goes on asking a hub that refuses, and
// anything that the hub sends, a refusal too, counts as a sign that the listing goes on.
func (h *Hub) checkWhile(ctx context.Context, a access, direct client.Client, giveUp context.CancelCauseFunc) {
	ticker := time.NewTicker(illPeriod)
	defer ticker.Stop()
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ask := a.probe
		if h.suspect.Load() { // a watch broke: one kind may be refused
			ask = a.check
		}
		asked := time.Now()
		status := ask(ctx, direct)
		switch {
		case status.Reason == "":
			failed = 0
		case status.Reason == v1alpha1.ReasonUnreachable && h.busy(asked):
		case status.Reason == v1alpha1.ReasonUnreachable && failed < tolerated:
			failed++
		default:
			giveUp(lost{status})
			return
		}
	}
}

// waitSync waits until the cache has synced, as long as the hub sends something.
func waitSync(ctx context.Context, sync func(context.Context) bool, heardSince func(time.Time) bool) bool {
	for range syncTries {
		began := time.Now()
		try, cancel := context.WithTimeout(ctx, syncSilence)
		synced := sync(try)
		cancel()
		if synced || ctx.Err() != nil || !heardSince(began) {
			return synced
		}
	}
	return false
}

func (s *session) close() {
	s.cancel()
	<-s.done
}

// index creates the informers of every kind that we read, with the indexes that Views use.
func (s *session) index(ctx context.Context) error {
	for _, kind := range cachedKinds() {
		informer, err := s.cache.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T on hub %s: %w", kind, s.access.server, err)
		}
		switch kind.(type) {
		case *v1alpha1.ExportedService, *v1alpha1.GatewayNode:
			if _, err := informer.AddEventHandler(s.published.handler()); err != nil {
				return fmt.Errorf("following %T: %w", kind, err)
			}
		}
		if err := s.cache.IndexField(ctx, kind, indexCluster, bySourceCluster); err != nil {
			return fmt.Errorf("indexing %T: %w", kind, err)
		}
	}
	return errors.Join(
		s.cache.IndexField(ctx, &discoveryv1.EndpointSlice{}, indexService, byService),
		s.cache.IndexField(ctx, &discoveryv1.EndpointSlice{}, indexBase, byBase),
		s.cache.IndexField(ctx, &v1alpha1.ExportedService{}, indexExported, byExported),
		s.cache.IndexField(ctx, &v1alpha1.ExportedService{}, indexNamespace, byNamespace),
	)
}

func byExported(obj client.Object) []string {
	spec := obj.(*v1alpha1.ExportedService).Spec
	return []string{spec.Namespace + "/" + spec.Name}
}

func byNamespace(obj client.Object) []string {
	return []string{obj.(*v1alpha1.ExportedService).Spec.Namespace}
}

func bySourceCluster(obj client.Object) []string {
	return []string{obj.GetLabels()[v1alpha1.LabelSourceCluster]}
}

func byService(obj client.Object) []string {
	l := obj.GetLabels()
	return []string{serviceKey(l[v1alpha1.LabelSourceCluster], l[v1alpha1.LabelNamespace], l[v1alpha1.LabelServiceName])}
}

func byBase(obj client.Object) []string {
	name := obj.GetName()
	return []string{name[:max(0, strings.LastIndexByte(name, '.'))]}
}

func serviceKey(cluster, namespace, name string) string {
	return cluster + "/" + namespace + "/" + name
}

// membership returns the status that follows from the hub's Member for this cluster, and remembers
// it.
func (s *session) membership(ctx context.Context) (Status, error) {
	status, err := s.readMembership(ctx)
	if err == nil {
		s.lastMembership.Store(status.Reason)
	}
	return status, err
}

func (s *session) readMembership(ctx context.Context) (Status, error) {
	key := client.ObjectKey{Namespace: s.access.namespace, Name: string(s.access.cluster)}
	member, err := optional.Get[v1alpha1.Member](ctx, s.reader, key)
	if err != nil {
		return Status{}, err
	}
	if member == nil {
		return Status{v1alpha1.ReasonNotAMember, fmt.Sprintf(
			"hub %s has no Member %s: ask the clusterset's admin to create it; until then nothing is exported, and what is imported stays",
			s.access.server, key)}, nil
	}
	if member.Spec.Removed {
		return Status{v1alpha1.ReasonRemoved, fmt.Sprintf(
			"the clusterset's admin has removed this cluster: Member %s on hub %s has spec.removed", key, s.access.server)}, nil
	}
	if status, err := s.checkIdentity(ctx); err != nil || status.Reason != "" {
		return status, err
	}
	return Status{v1alpha1.ReasonConnected, fmt.Sprintf(
		"in step with namespace %s of hub %s", s.access.namespace, s.access.server)}, nil
}

// stranger tells whether the hub knows no such member, or knows another cluster by our ID.
func (s *session) stranger() bool {
	switch s.lastMembership.Load() {
	case v1alpha1.ReasonNotAMember, v1alpha1.ReasonClusterIDInUse:
		return true
	}
	return false
}

// attach delivers the cache's objects, present and future, to the subscription.
func (s *session) attach(sub *subscription) error {
	informer, err := s.cache.GetInformer(sub.ctx, sub.kind)
	if err != nil {
		return fmt.Errorf("watching %T on hub %s: %w", sub.kind, s.access.server, err)
	}
	events := &source.Informer{Informer: informer, Handler: sub.handler, Predicates: sub.predicates}
	return events.Start(sub.ctx, sub.queue)
}
