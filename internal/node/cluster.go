package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
)

// servedRetry is how long to wait for an API server that does not answer, or does not serve all
// kinds yet.
const servedRetry = 3 * time.Second

// Kind is a kind of objects that an agent uses.
type Kind struct {
	Object client.Object
	// Scope is meta.RESTScopeRoot or meta.RESTScopeNamespace.
	Scope meta.RESTScope
	// Unwatched is true if the agent reads and writes such objects, but may not watch them.
	Unwatched bool
}

// Index is an index of cached objects.
type Index struct {
	Object client.Object
	Field  string
	Values client.IndexerFunc
}

// ClusterConfig is what a Cluster is made of.
type ClusterConfig struct {
	// REST says where this cluster's API server is. Its limit of queries is not used: the server's
	// own priority and fairness decides.
	REST *rest.Config // required
	// AddToScheme are the functions that register the kinds.
	AddToScheme []func(*runtime.Scheme) error // required
	// Kinds are all kinds that the agent uses, events aside.
	Kinds []Kind // required
	// Cache says what of them is kept, and how.
	Cache cache.Options // optional, default all
	// Indexes of the cache.
	Indexes []Index // optional
}

// Cluster is this cluster's API server, with a cache of what an agent watches. It is safe for
// concurrent use.
type Cluster struct {
	cluster.Cluster
	kinds   []Kind
	indexes []Index
	// served asks the API server which kinds it has.
	served meta.RESTMapper
	// waiting is what Watch waits for; nil if it waits for nothing.
	waiting atomic.Pointer[error]
}

// NewCluster returns this cluster's API server; its Start is to be called. It asks the server
// nothing, so that an agent starts without one.
func NewCluster(cfg ClusterConfig) (*Cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range cfg.AddToScheme {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	config := rest.CopyConfig(cfg.REST)
	config.QPS = -1
	c, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = scheme
		o.Cache = cfg.Cache
		o.MapperProvider = func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapperOf(cfg.Kinds, scheme) }
	})
	if err != nil {
		return nil, fmt.Errorf("preparing for this cluster's API server: %w", err)
	}
	served, err := apiutil.NewDynamicRESTMapper(c.GetConfig(), c.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("preparing for this cluster's API server: %w", err)
	}
	return &Cluster{Cluster: c, kinds: cfg.Kinds, indexes: cfg.Indexes, served: served}, nil
}

// mapperOf maps the kinds to resources without asking the API server.
func mapperOf(kinds []Kind, scheme *runtime.Scheme) (meta.RESTMapper, error) {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, k := range kinds {
		gvk, err := apiutil.GVKForObject(k.Object, scheme)
		if err != nil {
			return nil, err
		}
		mapper.Add(gvk, k.Scope)
		mapper.Add(gvk.GroupVersion().WithKind(gvk.Kind+"List"), k.Scope) // a cache of some namespaces asks for it
	}
	return mapper, nil
}

// Watch tells the handler of all objects and of each change, and returns when all there is has been
// told, or ctx ends. While the API server is away or lacks kinds it keeps trying, and Ready says
// what it waits for.
func (c *Cluster) Watch(ctx context.Context, handler toolscache.ResourceEventHandler) error {
	last := ""
	for {
		err := c.checkServed()
		if err == nil {
			break
		}
		c.waiting.Store(&err)
		if text := err.Error(); text != last {
			logr.FromContextOrDiscard(ctx).Error(err, "waiting for the kinds that this agent watches")
			last = text
		}
		if !sleep(ctx, servedRetry) {
			return nil
		}
	}
	reading := errors.New("reading what this agent watches")
	c.waiting.Store(&reading)
	err := c.watchAll(ctx, handler)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // an end that was asked for is no error
	}
	if err == nil {
		c.waiting.Store(nil)
	}
	return err
}

// Ready returns an error that says what Watch waits for; nil if it waits for nothing.
func (c *Cluster) Ready() error {
	if why := c.waiting.Load(); why != nil {
		return fmt.Errorf("waiting: %w", *why)
	}
	return nil
}

// checkServed returns an error if the API server does not answer or lacks a kind.
func (c *Cluster) checkServed() error {
	var missing []error
	for _, k := range c.kinds {
		gvk, err := apiutil.GVKForObject(k.Object, c.GetScheme())
		if err != nil {
			return err
		}
		if _, err := c.served.RESTMapping(gvk.GroupKind(), gvk.Version); meta.IsNoMatchError(err) {
			missing = append(missing, fmt.Errorf("%s is not served: install the CRDs", gvk.GroupKind()))
		} else if err != nil {
			return fmt.Errorf("asking this cluster's API server for its kinds: %w", err)
		}
	}
	return errors.Join(missing...)
}

// watchAll returns when the handler has been told of all objects. That the caches are filled is not
// enough: a pass that begins while events about them are still told would share the CPU with that,
// and what they mark would be planned twice.
func (c *Cluster) watchAll(ctx context.Context, handler toolscache.ResourceEventHandler) error {
	for _, i := range c.indexes {
		if err := c.GetCache().IndexField(ctx, i.Object, i.Field, i.Values); err != nil {
			return fmt.Errorf("indexing %T by %s: %w", i.Object, i.Field, err)
		}
	}
	var told []toolscache.DoneChecker
	for _, k := range c.kinds {
		if k.Unwatched {
			continue
		}
		informer, err := c.GetCache().GetInformer(ctx, k.Object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T: %w", k.Object, err)
		}
		registration, err := informer.AddEventHandler(handler)
		if err != nil {
			return fmt.Errorf("watching %T: %w", k.Object, err)
		}
		told = append(told, registration.HasSyncedChecker())
	}
	for _, all := range told {
		select {
		case <-all.Done():
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// OnEvent returns a handler that marks what an event is about. An update marks the old and the new
// object, since what the old one was about may be something else; it marks neither if same says
// that nothing has changed. A nil same lets every update count.
func OnEvent(mark func(client.Object), same func(before, after client.Object) bool) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { mark(o.(client.Object)) },
		UpdateFunc: func(before, after any) {
			old, now := before.(client.Object), after.(client.Object)
			if same != nil && same(old, now) {
				return
			}
			mark(old)
			mark(now)
		},
		DeleteFunc: func(o any) {
			if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if object, ok := o.(client.Object); ok {
				mark(object)
			}
		},
	}
}
