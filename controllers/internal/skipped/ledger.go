package skipped

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
)

const (
	// settling is how long after the start the controllers may need to read all that the hub has.
	settling = 30 * time.Second
	// gathering is how long changes of a cluster are gathered before the controller is asked for
	// it. There may be thousands at once.
	gathering = time.Second
	// logPause is the least time between two log lines about a cluster.
	logPause = 10 * time.Second
	// examples is how many objects a Summary names.
	examples = 3
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Ledger is what is skipped of each cluster's objects now. It is safe for concurrent use; New makes
// one.
type Ledger struct {
	// Log gets a line for each object that is newly skipped, at most one in ten seconds for each
	// cluster. Set it before the first Note. The zero value discards them.
	Log logr.Logger

	metrics metrics

	mu       sync.Mutex
	clusters map[v1alpha1.ClusterID]*account // guarded by mu
	queues   []queue                         // guarded by mu
	started  time.Time                       // guarded by mu; zero: no controller listens yet
}

// account is what is known of one cluster.
type account struct {
	skipped map[string][]screen.Skipped // by object; objects without anything skipped are not in it
	healed  bool                        // something was skipped once, and no longer is
	quiet   time.Time                   // nothing is logged until then
	unsaid  int                         // newly skipped objects that were not logged
}

// Summary is what is skipped of a cluster's objects now.
type Summary struct {
	// Objects is how many objects are skipped, in whole or in part.
	Objects int
	// Examples are the messages of the first few objects, by name, one for each object.
	Examples []string
	// Settled: if there are no Objects, none is skipped. Before, they may not have been read yet.
	Settled bool
}

// New returns a Ledger in which nothing is noted.
func New() *Ledger {
	return &Ledger{clusters: map[v1alpha1.ClusterID]*account{}, metrics: newMetrics()}
}

// Note replaces what was noted of a cluster's object, which is named by kind and name. If nothing
// is skipped, the object is fine, or gone. Repeating a note changes nothing.
func (l *Ledger) Note(cluster v1alpha1.ClusterID, object string, skipped ...screen.Skipped) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.clusters[cluster]
	if a == nil {
		if len(skipped) == 0 {
			return
		}
		a = &account{skipped: map[string][]screen.Skipped{}}
		l.clusters[cluster] = a
	}
	had := a.skipped[object]
	if slices.Equal(had, skipped) {
		return
	}
	l.metrics.count(cluster, had, skipped)
	if len(skipped) == 0 {
		delete(a.skipped, object)
		a.healed = true
	} else {
		a.skipped[object] = slices.Clone(skipped)
		l.log(a, cluster, object, skipped)
	}
	l.metrics.objects.WithLabelValues(string(cluster)).Set(float64(len(a.skipped)))
	for _, q := range l.queues {
		q.AddAfter(request(cluster), gathering)
	}
}

// Forget removes all that was noted of a cluster that is no longer imported from.
func (l *Ledger) Forget(cluster v1alpha1.ClusterID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.clusters, cluster)
	l.metrics.objects.DeleteLabelValues(string(cluster))
}

// log logs a newly skipped object, unless it logged another one of the cluster shortly before.
func (l *Ledger) log(a *account, cluster v1alpha1.ClusterID, object string, skipped []screen.Skipped) {
	now := time.Now()
	if now.Before(a.quiet) {
		a.unsaid++
		return
	}
	l.Log.Info("skipped what a cluster publishes", "cluster", cluster, "object", object, "reason", skipped[0].Reason,
		"message", skipped[0].Message, "count", skipped[0].Count, "unsaid", a.unsaid)
	a.quiet, a.unsaid = now.Add(logPause), 0
}

// Of returns what is skipped of the cluster's objects now.
func (l *Ledger) Of(cluster v1alpha1.ClusterID) Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	summary := Summary{Settled: !l.started.IsZero() && time.Since(l.started) >= settling}
	a := l.clusters[cluster]
	if a == nil {
		return summary
	}
	summary.Settled = summary.Settled || a.healed
	summary.Objects = len(a.skipped)
	for _, object := range slices.Sorted(maps.Keys(a.skipped)) {
		if len(summary.Examples) == examples {
			break
		}
		summary.Examples = append(summary.Examples, a.skipped[object][0].Message)
	}
	return summary
}

// OnChange returns a source of requests for a controller, named by cluster: those whose account has
// changed. The changes of one second come as one request.
func (l *Ledger) OnChange() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.queues = append(l.queues, q)
		if l.started.IsZero() {
			l.started = time.Now()
		}
		for cluster := range l.clusters {
			q.AddAfter(request(cluster), gathering)
		}
		return nil
	})
}

// Settling is how long from now an empty Summary may mean that nothing has been read yet.
func (l *Ledger) Settling() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started.IsZero() {
		return settling
	}
	return max(0, settling-time.Since(l.started))
}

func request(cluster v1alpha1.ClusterID) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Name: string(cluster)}}
}
