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
	// settling is how long after the start the controllers may need to look at all that the hub has.
	settling = 30 * time.Second
	// gathering is how long changes are gathered before a cluster is asked for: there may be thousands at once.
	gathering = time.Second
	// logPause is how long a cluster's log lines are apart, at least.
	logPause = 10 * time.Second
	// examples is how many objects a Summary names.
	examples = 3
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Ledger is what of each cluster's objects is skipped now. It is safe for concurrent use; New makes one.
type Ledger struct {
	// Log takes a line for each object that is newly skipped, not more than one in ten seconds for a cluster. Set it
	// before the first Note; the zero value takes nothing.
	Log logr.Logger

	metrics metrics

	mu       sync.Mutex
	clusters map[v1alpha1.ClusterID]*account // guarded by mu
	queues   []queue                         // guarded by mu
	started  time.Time                       // guarded by mu; zero: no controller listens yet
}

// account is what is known of one cluster.
type account struct {
	skipped map[string][]screen.Skipped // by object, without those of which nothing is
	healed  bool                        // something was skipped once, and is no more
	quiet   time.Time                   // until when nothing is logged
	unsaid  int                         // objects that were newly skipped, but not logged
}

// Summary is what of a cluster's objects is skipped now.
type Summary struct {
	// Objects of which something is skipped.
	Objects int
	// Examples are the messages of the first few, by name, one for each object.
	Examples []string
	// Settled: the absence of objects means something. Before, they may not have been looked at yet.
	Settled bool
}

// New returns a Ledger in which nothing is noted.
func New() *Ledger {
	return &Ledger{clusters: map[v1alpha1.ClusterID]*account{}, metrics: newMetrics()}
}

// Note replaces what was noted of a cluster's object, which is named by kind and name. Nothing skipped: the object is
// fine, or gone. To repeat a note changes nothing.
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

// Forget drops all that was noted of a cluster that is no longer imported from.
func (l *Ledger) Forget(cluster v1alpha1.ClusterID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.clusters, cluster)
	l.metrics.objects.DeleteLabelValues(string(cluster))
}

// log tells of a newly skipped object, unless it told of another a moment ago.
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

// Of returns what of the cluster's objects is skipped now.
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

// OnChange returns a source of requests for a controller, named by cluster: those of which something else is skipped
// than was. A second's changes come as one.
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

// Settling is how long from now an empty Summary may mean that nothing has been looked at yet.
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
