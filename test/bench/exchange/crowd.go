package exchange

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/heartbeat"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/controllers/serviceexport"
)

// crowd is many members in one process and one API server, each in its namespace with what an
// operator needs to publish: connection, export and heartbeat as they ship. They import nothing.
type crowd struct {
	stop context.CancelFunc
	done chan struct{} // closed once all have ended
	err  error         // why, to be read then
}

// startCrowd starts them all; each reaches the hub at that URL with a token of its own.
func startCrowd(ctx context.Context, s *servers, members []member, hubURL string) (*crowd, error) {
	ctx, cancel := context.WithCancel(logr.NewContext(ctx, logr.Discard()))
	var all []manager.Manager
	for _, m := range members {
		secret, err := s.access(ctx, m)
		if err != nil {
			cancel()
			return nil, err
		}
		mgr, err := newMember(ctx, m, unlimited(s.Cluster(crowdName)), hubURL, secret)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("preparing member %s: %w", m.id, err)
		}
		all = append(all, mgr)
	}
	return gather(ctx, cancel, all), nil
}

// gather runs all until stop is called, or one ends with an error.
func gather[R manager.Runnable](ctx context.Context, stop context.CancelFunc, all []R) *crowd {
	c := &crowd{stop: stop, done: make(chan struct{})}
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range all {
		g.Go(func() error { return r.Start(ctx) })
	}
	go func() {
		c.err = g.Wait()
		close(c.done)
	}()
	return c
}

// running says, as an error, that the crowd has ended, and why.
func (c *crowd) running() error {
	select {
	case <-c.done:
		return fmt.Errorf("the crowd has ended: %w", c.err)
	default:
		return nil
	}
}

// end returns when all have ended.
func (c *crowd) end() error {
	c.stop()
	<-c.done
	return c.err
}

// restrict leaves a member, of what has a namespace, only what is in its own: the rest of the API
// server is other clusters. It is done by selectors because a cache of some namespaces says of
// others that it cannot tell, instead of that there is nothing, and looks up at every read whether
// the kind has namespaces.
func (m member) restrict(kinds map[client.Object]cache.ByObject) {
	own := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.namespace", m.namespace)}
	for _, kind := range []client.Object{
		&corev1.Service{}, &discoveryv1.EndpointSlice{}, &mcsv1beta1.ServiceExport{}, &mcsv1beta1.ServiceImport{},
	} {
		kinds[kind] = own
	}
}

func newMember(ctx context.Context, m member, own *rest.Config, hubURL string, secret *corev1.Secret) (manager.Manager, error) {
	own.Dial = (&net.Dialer{}).DialContext // a connection of its own: clients with equal configurations share one
	mgr, err := ctrl.NewManager(own, ctrl.Options{
		Scheme:  operator.NewScheme(),
		Logger:  logr.Discard(),
		Metrics: metricsserver.Options{BindAddress: "0"},
		NewCache: func(config *rest.Config, given cache.Options) (cache.Cache, error) {
			options := operator.CacheOptions(v1alpha1.DefaultNamespace)
			options.HTTPClient, options.Scheme, options.Mapper = given.HTTPClient, given.Scheme, given.Mapper
			m.restrict(options.ByObject)
			inner, err := cache.New(config, options)
			return &ownCache{Cache: inner, set: m.clusterSet(hubURL), secret: secret}, err
		},
		GracefulShutdownTimeout: ptr.To(5 * time.Second),
		BaseContext:             func() context.Context { return logr.NewContext(context.Background(), logr.Discard()) },
		// Where one process is all members, one of them must not end because the first listing
		// takes long.
		Controller: config.Controller{SkipNameValidation: ptr.To(true), Logger: logr.Discard(), CacheSyncTimeout: timeout},
	})
	if err != nil {
		return nil, err
	}
	h := hub.New(hub.Config{Local: mgr.GetCache(), Writer: mgr.GetClient(), Namespace: v1alpha1.DefaultNamespace, Scheme: mgr.GetScheme()})
	if err := mgr.Add(h); err != nil {
		return nil, err
	}
	if err := (&serviceexport.Reconciler{Client: mgr.GetClient(), Hub: h}).SetUp(ctx, mgr); err != nil {
		return nil, err
	}
	return mgr, (&heartbeat.Reconciler{Client: mgr.GetClient(), Hub: h, Namespace: v1alpha1.DefaultNamespace, Now: time.Now}).SetUp(ctx, mgr)
}
