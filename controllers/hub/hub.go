package hub

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// How often we probe the hub: while all is well, and while it is not.
const (
	wellPeriod = 5 * time.Second
	illPeriod  = 2 * time.Second
)

// Config is what a Hub needs.
type Config struct {
	Local     cache.Cache     // required, of this cluster: ClusterSet, and the Secret v1alpha1.HubSecret of Namespace
	Namespace string          // required, the operator's
	Scheme    *runtime.Scheme // required
	// Writer writes the Secret with the token.
	Writer client.Writer // required
	// Now is compared with the times in the hub's tokens.
	Now func() time.Time // optional, default time.Now
}

// Hub is a member's connection with the hub. It is safe for concurrent use, and knows nothing
// before Start.
type Hub struct {
	config Config
	check  chan struct{} // capacity 1: check the hub at once
	// suspect: watches ended, with an error or with their connection, so a probe is not enough.
	suspect    atomic.Bool
	heartbeats *heartbeats
	budgets    *budgets

	mu        sync.Mutex
	status    Status          // guarded by mu
	session   *session        // guarded by mu; nil before the first connection
	subs      []*subscription // guarded by mu
	listeners []*listener     // guarded by mu

	// Only the loop in Start uses these.
	transport    *transport
	transportFor access
	failed       int       // probes in a row
	answered     time.Time // when we sent the last probe that succeeded
	breaks       breaks
	renewal      renewal

	expiry atomic.Int64 // of the token: see token.expiry; 0 while there is none
}

// New returns a Hub that does nothing yet.
func New(config Config) *Hub {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Hub{
		config:     config,
		check:      make(chan struct{}, 1),
		heartbeats: &heartbeats{},
		budgets:    &budgets{clusters: map[v1alpha1.ClusterID]*budget{}},
		status:     Status{v1alpha1.ReasonPending, "the operator has just started"},
	}
}

// Start maintains the connection until ctx ends. It never returns an error because of the hub.
func (h *Hub) Start(ctx context.Context) error {
	defer h.closeSession()
	for _, kind := range []client.Object{&v1alpha1.ClusterSet{}, &corev1.Secret{}} {
		if err := h.checkOn(ctx, h.config.Local, kind, anyObject); ctx.Err() != nil {
			return nil // ctx ended before we began
		} else if err != nil {
			return err
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.check:
		case <-timer.C:
		}
		status, err := h.step(ctx)
		if ctx.Err() != nil {
			return nil // what fails because ctx ended is no error
		}
		if err != nil {
			logf.FromContext(ctx).Error(err, "cannot tell the state of the connection with the hub")
		} else {
			h.setStatus(ctx, status)
		}
		timer.Reset(period(status, err))
	}
}

func period(status Status, err error) time.Duration {
	if err == nil && status.answers() {
		return wellPeriod
	}
	return illPeriod
}

// checkOn makes every event of the kind's objects that matter a reason to check the hub at once.
func (h *Hub) checkOn(ctx context.Context, from cache.Cache, kind client.Object, matters func(obj any) bool) error {
	informer, err := from.GetInformer(ctx, kind)
	if err != nil {
		return fmt.Errorf("watching %T: %w", kind, err)
	}
	_, err = informer.AddEventHandler(toolscache.FilteringResourceEventHandler{
		FilterFunc: matters,
		Handler: toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { h.checkSoon() },
			UpdateFunc: func(any, any) { h.checkSoon() },
			DeleteFunc: func(any) { h.checkSoon() },
		},
	})
	return err
}

func anyObject(any) bool { return true }

// named matches objects of that name, deleted ones too.
func named(name string) func(any) bool {
	return func(obj any) bool {
		if deleted, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = deleted.Obj
		}
		o, ok := obj.(client.Object)
		return ok && o.GetName() == name
	}
}

func (h *Hub) watchBroke() {
	h.suspect.Store(true)
	h.checkSoon()
}

func (h *Hub) checkSoon() {
	select {
	case h.check <- struct{}{}:
	default: // a check is due already
	}
}

func (h *Hub) setStatus(ctx context.Context, status Status) {
	h.mu.Lock()
	changed := status != h.status
	h.status = status
	listeners := append([]*listener(nil), h.listeners...)
	h.mu.Unlock()
	if !changed {
		return
	}
	logf.FromContext(ctx).Info("hub status changed", "reason", status.Reason, "message", status.Message)
	for _, l := range listeners {
		l.notify()
	}
}

func (h *Hub) closeSession() {
	if current := h.current(); current != nil {
		current.close()
	}
}

func (h *Hub) current() *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.session
}

// Status returns the state of the connection.
func (h *Hub) Status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

func (h *Hub) subscribe(sub *subscription) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs = append(h.subs, sub)
	if h.session == nil {
		return nil
	}
	return h.session.attach(sub)
}

func (h *Hub) listen(l *listener) {
	h.mu.Lock()
	h.listeners = append(h.listeners, l)
	h.mu.Unlock()
	l.notify()
}
