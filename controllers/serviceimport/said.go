package serviceimport

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// How many lines about imports one cluster can cause: so many at once, as when it joins, and then one
// in a while. The ServiceImports themselves show the rest.
const (
	saidBurst = 50
	saidEvery = 10 * time.Second
)

// said limits the lines that each cluster causes. The zero value has said nothing. It is safe for
// concurrent use.
type said struct {
	mu       sync.Mutex
	clusters map[v1alpha1.ClusterID]*saidOf // guarded by mu; as many as there were members
}

// saidOf is about one cluster.
type saidOf struct {
	limiter *rate.Limiter
	unsaid  int // lines that were left out since the last one
}

// info logs a line about what the cluster exports, unless it has caused many. The line says how many
// were left out before it.
func (s *said) info(ctx context.Context, cluster v1alpha1.ClusterID, message string, values ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.clusters[cluster]
	if of == nil {
		if s.clusters == nil {
			s.clusters = map[v1alpha1.ClusterID]*saidOf{}
		}
		of = &saidOf{limiter: rate.NewLimiter(rate.Every(saidEvery), saidBurst)}
		s.clusters[cluster] = of
	}
	if !of.limiter.Allow() {
		of.unsaid++
		return
	}
	if of.unsaid > 0 {
		values = append(values, "unsaid", of.unsaid)
	}
	logf.FromContext(ctx).Info(message, append(values, "cluster", cluster)...)
	of.unsaid = 0
}
