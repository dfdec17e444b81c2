// Package operator owns how the operator is put together: one manager with every controller, leader
// election, health and metrics. It decides nothing itself.
package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/approval"
	"github.com/tombolo-net/tombolo/controllers/clusterprofile"
	"github.com/tombolo-net/tombolo/controllers/clusterproperty"
	"github.com/tombolo-net/tombolo/controllers/clusterset"
	"github.com/tombolo-net/tombolo/controllers/derivedservice"
	"github.com/tombolo-net/tombolo/controllers/dns"
	"github.com/tombolo-net/tombolo/controllers/endpointslice"
	"github.com/tombolo-net/tombolo/controllers/exportpolicy"
	"github.com/tombolo-net/tombolo/controllers/gatewaylife"
	"github.com/tombolo-net/tombolo/controllers/gatewaynode"
	"github.com/tombolo-net/tombolo/controllers/heartbeat"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/holders"
	"github.com/tombolo-net/tombolo/controllers/internal/installation"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/skipped"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/remotecluster"
	"github.com/tombolo-net/tombolo/controllers/serviceexport"
	"github.com/tombolo-net/tombolo/controllers/serviceimport"
	"github.com/tombolo-net/tombolo/controllers/trafficpolicy"
	"github.com/tombolo-net/tombolo/controllers/transitaddress"
	"github.com/tombolo-net/tombolo/internal/pages"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=tombolo-system,resources=leases,verbs=get;create;update;patch
// +kubebuilder:rbac:groups="",namespace=tombolo-system,resources=secrets,resourceNames=tombolo-hub,verbs=get;list;watch

// The leader election. An operator that cannot renew its Lease ends, because another one may hold
// it by now. It waits leaseRenewal for that: by then an API server that is overloaded or restarted
// is back. Ending early would only make the next operator read everything from an API server that
// is short of time. The price: after the leader's sudden death (not after an orderly end) another
// operator takes over only when the Lease has expired. Meanwhile the nodes serve what is in their
// kernels.
const (
	leaseName     = "tombolo-operator"
	leaseDuration = heartbeat.LeaseDuration
	leaseRenewal  = 30 * time.Second // after which an operator that could not renew its Lease ends
	leasePeriod   = 4 * time.Second  // between renewals, and between the attempts of those who wait
)

// Config is what an operator needs.
type Config struct {
	REST      *rest.Config // required, of this cluster
	Namespace string       // required, where the operator runs: ClusterSet's Secret, GatewayNodes, the leader's Lease
	// ListenAddresses are where /healthz, /readyz and /metrics are served.
	ListenAddresses []string // optional, default none
	// Guard decides who sees metrics at other addresses than loopback ones.
	Guard  *pages.Guard // optional, default: everybody does
	Logger logr.Logger  // required
	// Registry takes tombolo's own metrics; it can take those of one operator.
	Registry prometheus.Registerer // optional, default the one that ListenAddresses serve
	// AskDNS asks a DNS server of this cluster for a name, as dns.Ask does.
	AskDNS func(ctx context.Context, server, name string) error // optional, default nobody is asked
	// Now is this cluster's clock, which need not agree with those of others.
	Now func() time.Time // optional, default time.Now
}

// NewScheme returns a scheme with every kind that the operator reads or writes.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(mcsv1beta1.Install(scheme))
	return scheme
}

// New returns an operator that Start runs. The only I/O that it does is to ask the API server which
// kinds it serves, and whether the operator may read them. If not, an error says what to mend.
func New(ctx context.Context, c Config) (manager.Manager, error) {
	mgr, err := ctrl.NewManager(restConfig(c.REST), options(ctx, c))
	if err != nil {
		return nil, fmt.Errorf("preparing the manager: %w", err)
	}
	if err := installation.CheckStart(ctx, mgr); err != nil {
		return nil, err
	}
	h := hub.New(hub.Config{Local: mgr.GetCache(), Writer: mgr.GetClient(), Namespace: c.Namespace, Scheme: mgr.GetScheme(), Now: c.Now})
	registry := c.Registry
	if registry == nil {
		registry = metrics.Registry
	}
	skipped := skipped.New()
	skipped.Log = c.Logger
	if err := register(registry, h, skipped, mgr.GetCache()); err != nil {
		return nil, fmt.Errorf("adding metrics: %w", err)
	}
	if err := mgr.Add(h); err != nil {
		return nil, fmt.Errorf("adding the hub's connection: %w", err)
	}
	if err := addControllers(ctx, mgr, h, skipped, c); err != nil {
		return nil, fmt.Errorf("adding controllers: %w", err)
	}
	return mgr, addPages(ctx, mgr, c)
}

// register adds tombolo's own metrics to the registry.
func register(registry prometheus.Registerer, h *hub.Hub, ledger *skipped.Ledger, cache client.Reader) error {
	return errors.Join(h.Register(registry), ledger.Register(registry), registry.Register(endpointslice.NewEndpoints(cache)))
}

// restConfig lets the API server's own priority and fairness limit us: a limit here would delay
// changes.
func restConfig(given *rest.Config) *rest.Config {
	config := rest.CopyConfig(given)
	config.QPS = -1
	config.UserAgent = "tombolo-operator"
	return config
}

func options(ctx context.Context, c Config) ctrl.Options {
	return ctrl.Options{
		Scheme:                        NewScheme(),
		Logger:                        c.Logger,
		Cache:                         CacheOptions(c.Namespace),
		Metrics:                       metricsserver.Options{BindAddress: "0"}, // none: addPages serves them
		LeaderElection:                true,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       c.Namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 ptr.To(leaseDuration),
		RenewDeadline:                 ptr.To(leaseRenewal),
		RetryPeriod:                   ptr.To(leasePeriod),
		GracefulShutdownTimeout:       ptr.To(5 * time.Second),
		BaseContext:                   func() context.Context { return logr.NewContext(context.WithoutCancel(ctx), c.Logger) },
		// Names are constants, and two operators in one process, as in tests, share them.
		Controller: config.Controller{SkipNameValidation: ptr.To(true), Logger: c.Logger},
	}
}

// CacheOptions are those of the operator's cache of its own cluster. Of some kinds it holds only
// what the operator may read: the hub's Secret, GatewayNodes and gateways' Leases in its own namespace, and what is
// CoreDNS's.
func CacheOptions(namespace string) cache.Options {
	own := map[string]cache.Config{namespace: {}}
	some := map[client.Object]cache.ByObject{
		&corev1.Secret{}:        {Namespaces: own, Field: fields.OneTermEqualSelector("metadata.name", v1alpha1.HubSecret)},
		&v1alpha1.GatewayNode{}: {Namespaces: own},
	}
	maps.Copy(some, gatewaylife.CacheObjects(namespace))
	maps.Copy(some, dns.CacheObjects())
	return cache.Options{DefaultTransform: mcs.KeepOwnFields, ByObject: some}
}

func addControllers(ctx context.Context, mgr manager.Manager, h *hub.Hub, skipped *skipped.Ledger, c Config) error {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	local := mgr.GetClient()
	used := inuse.Reader{Cached: local, Direct: mgr.GetAPIReader()}
	events := mgr.GetEventRecorder("tombolo-operator")
	installed, err := installation.NewChecker(mgr)
	if err != nil {
		return err
	}
	addresses, err := holders.New(ctx, holders.Config{
		REST: mgr.GetConfig(), Local: mgr.GetCache(), InUse: used,
		Pods: cache.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()},
	})
	if err != nil {
		return err
	}
	return errors.Join(
		mgr.Add(addresses),
		(&clusterset.Reconciler{Client: local, Hub: h, InUse: used, Installation: installed, Events: events}).SetUp(ctx, mgr),
		(&approval.Reconciler{Client: local, Hub: h, Events: events}).SetUp(ctx, mgr),
		(&remotecluster.Reconciler{Client: local, Hub: h, InUse: used, Namespace: c.Namespace, Skipped: skipped, Events: events}).SetUp(ctx, mgr),
		(&gatewaynode.Reconciler{Client: local, Direct: mgr.GetAPIReader(), Hub: h, Namespace: c.Namespace}).SetUp(ctx, mgr),
		(&gatewaylife.Reconciler{Client: local, Direct: mgr.GetAPIReader(), Events: events, Namespace: c.Namespace, Now: now}).SetUp(ctx, mgr),
		(&transitaddress.Reconciler{Client: local, Direct: mgr.GetAPIReader(), Events: events}).SetUp(ctx, mgr),
		(&serviceexport.Reconciler{Client: local, Hub: h, Namespace: c.Namespace, Holders: addresses}).SetUp(ctx, mgr),
		(&heartbeat.Reconciler{Client: local, Hub: h, Namespace: c.Namespace, Now: now}).SetUp(ctx, mgr),
		(&serviceimport.Reconciler{Client: local, Hub: h, Events: events, Skipped: skipped, Namespace: c.Namespace}).SetUp(ctx, mgr),
		(&endpointslice.Reconciler{Client: local, Hub: h, Skipped: skipped}).SetUp(ctx, mgr),
		(&derivedservice.Reconciler{Client: local, Events: events}).SetUp(ctx, mgr),
		(&trafficpolicy.Reconciler{Client: local}).SetUp(ctx, mgr),
		(&exportpolicy.Reconciler{Client: local}).SetUp(ctx, mgr),
		(&dns.Reconciler{Client: local, Events: events, Ask: c.AskDNS}).SetUp(ctx, mgr),
		(&clusterproperty.Reconciler{Client: local, Hub: h}).SetUp(ctx, mgr),
		(&clusterprofile.Reconciler{Client: local, Namespace: c.Namespace}).SetUp(ctx, mgr),
	)
}

// addPages serves health and metrics at the addresses. The operator is alive and ready while it runs,
// also as a stand-by and without a hub: a restart would repair neither. As a manager.Server the
// pages do not wait for caches or leadership.
func addPages(ctx context.Context, mgr manager.Manager, c Config) error {
	shown := pages.Pages{Metrics: metrics.Registry, Guard: c.Guard}
	for _, address := range c.ListenAddresses {
		listener, err := pages.Listen(ctx, address, c.Guard)
		if err != nil {
			return err
		}
		err = mgr.Add(&manager.Server{
			Name: "pages", Listener: listener, Server: pages.NewServer(shown.Handler()),
			ShutdownTimeout: ptr.To(pages.ShutdownTimeout),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
