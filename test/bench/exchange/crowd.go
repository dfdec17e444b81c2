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
	"github.com/tombolo-net/tombolo/controllers/export"
	"github.com/tombolo-net/tombolo/controllers/heartbeat"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/operator"
)

// crowd is many members in one process and one API server, each in its namespace with what an operator needs to
// publish: connection, export and heartbeat as they ship. They import nothing.
type crowd struct {
	stop context.CancelFunc
	done chan error
}

// startCrowd starts them all; each reaches the hub at that URL with a token of its own.
func startCrowd(ctx context.Context, s *servers, members []member, hubURL string) (*crowd, error) {
	ctx, cancel := context.WithCancel(logr.NewContext(ctx, logr.Discard()))
	c := &crowd{stop: cancel, done: make(chan error, 1)}
	var all []manager.Manager
	for _, m := range members {
		secret, err := s.access(ctx, m)
		if err != nil {
			cancel()
			return nil, err
		}
		mgr, err := newMember(m, unlimited(s.Cluster(crowdName)), hubURL, secret)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("preparing member %s: %w", m.id, err)
		}
		all = append(all, mgr)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, mgr := range all {
		g.Go(func() error { return mgr.Start(ctx) })
	}
	go func() { c.done <- g.Wait() }()
	return c, nil
}

// end returns when all have ended.
func (c *crowd) end() error {
	c.stop()
	return <-c.done
}

// restrict leaves a member, of what has a namespace, only what is in its own: the rest of the API server is other clusters.
// It is done by selectors because a cache of some namespaces says of others that it cannot tell, instead of that there is
// nothing, and looks up at every read whether the kind has namespaces.
func (m member) restrict(kinds map[client.Object]cache.ByObject) {
	own := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.namespace", m.namespace)}
	for _, kind := range []client.Object{
		&corev1.Service{}, &discoveryv1.EndpointSlice{}, &mcsv1beta1.ServiceExport{}, &mcsv1beta1.ServiceImport{},
	} {
		kinds[kind] = own
	}
}

func newMember(m member, own *rest.Config, hubURL string, secret *corev1.Secret) (manager.Manager, error) {
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
		Controller:              config.Controller{SkipNameValidation: ptr.To(true), Logger: logr.Discard()},
	})
	if err != nil {
		return nil, err
	}
	h := hub.New(hub.Config{Local: mgr.GetCache(), Namespace: v1alpha1.DefaultNamespace, Scheme: mgr.GetScheme()})
	if err := mgr.Add(h); err != nil {
		return nil, err
	}
	if err := (&export.Reconciler{Client: mgr.GetClient(), Hub: h}).SetUp(mgr); err != nil {
		return nil, err
	}
	return mgr, (&heartbeat.Reconciler{Client: mgr.GetClient(), Hub: h, Namespace: v1alpha1.DefaultNamespace, Now: time.Now}).SetUp(mgr)
}
