package snapshot

import (
	"context"
	"net/http"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/internal/topology"
)

const (
	// again is between two attempts to reach a cluster, and oneAttempt is how long one may take.
	again      = 2 * time.Second
	oneAttempt = 5 * time.Second
)

// watched is one cluster that is followed.
type watched struct {
	cluster *access.Cluster
	changed chan<- struct{}
	// broken is sent to when a request has failed.
	broken chan struct{}
	// settled is closed when the cluster has been read, or the first attempt has failed.
	settled chan struct{}
	settle  func()

	// mu guards what follows.
	mu sync.Mutex
	// synced is nil until everything has been read.
	synced cache.Cache
	// away says why the API server cannot be asked now; empty: it can.
	away string
	// stranger: the API server does not serve tombolo's kinds.
	stranger bool
}

func newWatched(c *access.Cluster, changed chan<- struct{}) *watched {
	settled := make(chan struct{})
	return &watched{cluster: c, changed: changed, broken: make(chan struct{}, 1), settled: settled, settle: sync.OnceFunc(func() { close(settled) })}
}

// run watches the cluster until ctx ends.
func (w *watched) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.watch(ctx); err != nil {
			w.set(err)
			wait(ctx, again)
		}
	}
}

// watch returns an error if the cluster cannot be watched. Otherwise it returns when ctx ends.
func (w *watched) watch(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watching, err := w.informers(ctx)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = watching.Start(ctx) }) // it returns when ctx ends, and only then
	running.Go(func() { w.look(ctx) })
	if !watching.WaitForCacheSync(ctx) {
		return ctx.Err()
	}
	w.mu.Lock()
	w.synced, w.stranger = watching, false
	w.mu.Unlock()
	w.set(nil)
	<-ctx.Done()
	return nil
}

// informers keep what the picture is made of in a cache that has not started yet.
func (w *watched) informers(ctx context.Context) (cache.Cache, error) {
	imported := labels.SelectorFromSet(labels.Set(ImportedSlices))
	operator := labels.SelectorFromSet(labels.Set{"app.kubernetes.io/name": OperatorName})
	config := rest.CopyConfig(w.cluster.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return listener{next, w} })
	watching, err := cache.New(config, cache.Options{Scheme: w.cluster.Scheme(), DefaultTransform: cache.TransformStripManagedFields(),
		DefaultUnsafeDisableDeepCopy: ptr.To(true), DefaultWatchErrorHandler: w.refused,
		ByObject: map[client.Object]cache.ByObject{&discoveryv1.EndpointSlice{}: {Label: imported}, &appsv1.Deployment{}: {Label: operator}}})
	if err != nil {
		return nil, err
	}
	for _, object := range []client.Object{&v1alpha1.ClusterSet{}, &v1alpha1.RemoteCluster{}, &v1alpha1.GatewayNode{}, &v1alpha1.TrafficPolicy{},
		&v1alpha1.ExportPolicy{}, &mcsv1beta1.ServiceExport{}, &mcsv1beta1.ServiceImport{}, &discoveryv1.EndpointSlice{}, &corev1.Node{}, &appsv1.Deployment{}} {
		informer, err := watching.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, err
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { w.mark() }, UpdateFunc: func(any, any) { w.mark() }, DeleteFunc: func(any) { w.mark() },
		}); err != nil {
			return nil, err
		}
	}
	return watching, nil
}

// refused is told of watches that end with an error. Informers begin them again by themselves.
func (w *watched) refused(_ context.Context, _ *toolscache.Reflector, err error) {
	if apierrors.IsForbidden(err) { // the API server answers, so asking it again says nothing
		w.set(err)
	}
}

// listener notices requests that fail. Informers do not tell of all of them: while connections are
// refused they try again and say nothing.
type listener struct {
	next http.RoundTripper
	w    *watched
}

// RoundTrip implements http.RoundTripper.
func (l listener) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(r)
	if err != nil && r.Context().Err() == nil {
		select {
		case l.w.broken <- struct{}{}:
		default:
		}
	}
	return response, err
}

// look asks the API server itself when a request has failed, until it answers: one that failed may mean
// nothing.
func (w *watched) look(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.broken:
		}
		for ctx.Err() == nil {
			within, stop := context.WithTimeout(ctx, oneAttempt)
			err := w.cluster.List(within, &v1alpha1.ClusterSetList{}, client.Limit(1))
			stop()
			if ctx.Err() != nil {
				return
			}
			w.set(err)
			if err == nil {
				break
			}
			wait(ctx, again)
		}
	}
}

// set takes what the last attempt to ask the API server said.
func (w *watched) set(err error) {
	w.mu.Lock()
	if err != nil || w.synced != nil {
		w.settle()
	}
	was, wasStranger := w.away, w.stranger
	w.away = ""
	if w.stranger = meta.IsNoMatchError(err); err != nil && !w.stranger {
		w.away = err.Error()
	}
	differs := was != w.away || wasStranger != w.stranger
	w.mu.Unlock()
	if differs {
		w.mark()
	}
}

func (w *watched) mark() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// snapshot is what the cluster holds, as far as is known.
func (w *watched) snapshot(ctx context.Context) topology.Snapshot {
	w.mu.Lock()
	synced, away, stranger := w.synced, w.away, w.stranger
	w.mu.Unlock()
	s := topology.Snapshot{Context: w.cluster.Context}
	switch {
	case synced != nil:
		s = Read(ctx, synced, w.cluster.Context)
		s.Behind = away
	case stranger:
	case away != "":
		s.Unreadable = away
	default:
		s.Unreadable = "it has not answered yet"
	}
	return s
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
