package web

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/cli/web/view"
)

// again is between two attempts to watch a cluster's events.
const again = 5 * time.Second

// noticePrefix begins the keys of what the page cannot show, and why.
const noticePrefix = "notice/"

// events follows the events of a cluster until ctx ends. If it cannot, the page says so.
func (f *feed) events(ctx context.Context, c *access.Cluster) error {
	clientset, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	for {
		store := &eventStore{feed: f, cluster: c}
		all := toolscache.NewListWatchFromClient(clientset.CoreV1().RESTClient(), "events", corev1.NamespaceAll, fields.Everything())
		err := toolscache.NewReflectorWithOptions(all, &corev1.Event{}, store, toolscache.ReflectorOptions{}).ListAndWatchWithContext(ctx)
		if err != nil {
			f.notice("events/"+c.Context, "Events of context "+c.Context+" cannot be read: "+err.Error())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
		}
	}
}

// notice says what cannot be shown; with an empty text nothing is to be said any more.
func (f *feed) notice(key, text string) {
	s := view.State{}
	if text != "" {
		s.Put(text, noticePrefix+key)
	}
	f.board.set(noticePrefix+key, s)
}

// eventStore takes what a Reflector reads. It keeps what concerns tombolo.
type eventStore struct {
	feed    *feed
	cluster *access.Cluster
}

// Add implements toolscache.ReflectorStore.
func (s *eventStore) Add(o any) error {
	s.take(o)
	return nil
}

// Update implements toolscache.ReflectorStore.
func (s *eventStore) Update(o any) error {
	s.take(o)
	return nil
}

// Delete implements toolscache.ReflectorStore. API servers forget events after an hour; the page shows
// them on.
func (s *eventStore) Delete(any) error { return nil }

// Replace implements toolscache.ReflectorStore.
func (s *eventStore) Replace(all []any, _ string) error {
	s.feed.notice("events/"+s.cluster.Context, "")
	for _, o := range all {
		s.keep(o)
	}
	s.feed.board.set(view.EventPrefix, s.feed.log.state())
	return nil
}

// Resync implements toolscache.ReflectorStore.
func (s *eventStore) Resync() error { return nil }

func (s *eventStore) take(o any) {
	if s.keep(o) {
		s.feed.board.set(view.EventPrefix, s.feed.log.state())
	}
}

// keep tells whether the event concerns tombolo.
func (s *eventStore) keep(o any) bool {
	e, ok := o.(*corev1.Event)
	if !ok || !snapshot.Concerns(e, s.namespaces()...) {
		return false
	}
	object := e.InvolvedObject.Kind + " " + e.InvolvedObject.Name
	if e.InvolvedObject.Namespace != "" {
		object = e.InvolvedObject.Kind + " " + e.InvolvedObject.Namespace + "/" + e.InvolvedObject.Name
	}
	count := e.Count
	if e.Series != nil {
		count = e.Series.Count
	}
	s.feed.log.put(string(e.UID)+"@"+s.cluster.Context, view.Event{Time: snapshot.LastSeen(e).UTC(), Cluster: s.feed.id(s.cluster),
		Warning: e.Type == corev1.EventTypeWarning, Object: object, Reason: e.Reason, Message: strings.TrimSpace(e.Message), Count: count})
	return true
}

// namespaces are where tombolo runs.
func (s *eventStore) namespaces() []string {
	snapshots, _ := s.feed.last()
	for i := range snapshots {
		if g := snapshots[i].GatewayNodes; snapshots[i].Context == s.cluster.Context && len(g) > 0 {
			return []string{g[0].Namespace}
		}
	}
	return nil
}
