// Package testbed makes, in a namespace of its own in each of several clusters, servers and clients
// that test the way between them, and removes them again. The pods run tombolo's own image.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/apply"
	"github.com/tombolo-net/tombolo/cli/snapshot"
)

// Label is on every namespace that the package makes, with value "true", so that those of a run that
// was killed are found.
const Label = "clusterset.tombolo.dev/testbed"

// poll is between two looks at what is waited for.
const poll = 300 * time.Millisecond

// Bed is what the tests run on.
type Bed struct {
	Namespace string
	Sites     []*Site
}

// Site is the part in one cluster.
type Site struct {
	*access.Cluster
	ID v1alpha1.ClusterID
	// Number tells the sites' Services apart: from 1.
	Number int
	// Client and Servers are pods that are ready.
	Client  corev1.Pod
	Servers []corev1.Pod

	image string
}

// New returns a bed that does not exist yet. The error says which of the clusters is no member of
// the same clusterset, or has no operator.
func New(ctx context.Context, clusters []*access.Cluster) (*Bed, error) {
	b := &Bed{Namespace: "tombolo-test-" + utilrand.String(5)}
	seen, set := map[v1alpha1.ClusterID]string{}, ""
	for i, c := range clusters {
		s := snapshot.Read(ctx, c, c.Context)
		if s.Unreadable != "" {
			return nil, fmt.Errorf("asking the cluster of context %q: %s", c.Context, s.Unreadable)
		}
		if s.ClusterSet == nil {
			return nil, fmt.Errorf("the cluster of context %q belongs to no clusterset: name the contexts of members", c.Context)
		}
		spec := s.ClusterSet.Spec
		if other := seen[spec.ClusterID]; other != "" {
			return nil, fmt.Errorf("contexts %q and %q are both of cluster %s: name each cluster once", other, c.Context, spec.ClusterID)
		}
		if set != "" && set != spec.ClusterSetID {
			return nil, fmt.Errorf("the cluster of context %q belongs to clusterset %s, not to %s", c.Context, spec.ClusterSetID, set)
		}
		seen[spec.ClusterID], set = c.Context, spec.ClusterSetID
		image, err := snapshot.Image(ctx, c)
		if err != nil {
			return nil, err
		}
		b.Sites = append(b.Sites, &Site{Cluster: c, ID: spec.ClusterID, Number: i + 1, image: image})
	}
	return b, nil
}

// Make makes everything, and returns when each cluster imports from all. The error says what was
// waited for.
func (b *Bed) Make(ctx context.Context, timeout time.Duration, say func(string)) error {
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	for _, s := range b.Sites {
		say("making pods and Services in " + string(s.ID))
		if err := apply.Objects(ctx, s, b.objects(s)...); err != nil {
			return fmt.Errorf("cluster %s: %w", s.ID, err)
		}
	}
	for _, s := range b.Sites {
		for _, step := range []func(context.Context, *Site) error{b.podsReady, b.exported, b.imported} {
			if err := until(ctx, say, s, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// until calls step until it has no error, or returns its last one when ctx ends.
func until(ctx context.Context, say func(string), s *Site, step func(context.Context, *Site) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		err := step(ctx, s)
		if err == nil {
			return true, nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		say(fmt.Sprintf("%s: %s", s.ID, last))
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("cluster %s: %w", s.ID, errors.Join(last, context.Cause(ctx)))
	}
	return nil
}

func (b *Bed) podsReady(ctx context.Context, s *Site) error {
	var pods corev1.PodList
	if err := s.List(ctx, &pods, client.InNamespace(b.Namespace)); err != nil {
		return err
	}
	s.Servers = nil
	for _, p := range pods.Items {
		if err := whyNotReady(&p); err != nil {
			return err
		}
		if p.Name == clientName {
			s.Client = p
			continue
		}
		s.Servers = append(s.Servers, p)
	}
	return nil
}

func whyNotReady(p *corev1.Pod) error {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Message != "" {
			return fmt.Errorf("pod %s: %s: %s", p.Name, w.Reason, w.Message)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" && c.Type == corev1.PodScheduled {
			return fmt.Errorf("pod %s: %s", p.Name, c.Message)
		}
	}
	return fmt.Errorf("pod %s is not ready yet", p.Name)
}

func (b *Bed) exported(ctx context.Context, s *Site) error {
	var exports mcsv1beta1.ServiceExportList
	if err := s.List(ctx, &exports, client.InNamespace(b.Namespace)); err != nil {
		return err
	}
	for _, e := range exports.Items {
		for _, wanted := range []mcsv1beta1.ServiceExportConditionType{mcsv1beta1.ServiceExportConditionValid, mcsv1beta1.ServiceExportConditionReady} {
			c := meta.FindStatusCondition(e.Status.Conditions, string(wanted))
			if c == nil {
				return fmt.Errorf("the operator has not seen ServiceExport %s yet", e.Name)
			}
			if c.Status != metav1.ConditionTrue {
				return fmt.Errorf("ServiceExport %s: %s: %s", e.Name, c.Reason, c.Message)
			}
		}
	}
	return nil
}

// imported looks whether the site imports what each of the sites exports.
func (b *Bed) imported(ctx context.Context, s *Site) error {
	for _, exporter := range b.Sites {
		for _, name := range exporter.Services() {
			var i mcsv1beta1.ServiceImport
			err := s.Get(ctx, client.ObjectKey{Namespace: b.Namespace, Name: name}, &i)
			if apierrors.IsNotFound(err) {
				return fmt.Errorf("it does not import Service %s of cluster %s yet", name, exporter.ID)
			}
			if err != nil {
				return err
			}
			known := false
			for _, c := range i.Status.Clusters {
				known = known || c.Cluster == string(exporter.ID)
			}
			if !known {
				return fmt.Errorf("it does not import the endpoints of Service %s of cluster %s yet", name, exporter.ID)
			}
		}
	}
	return nil
}

// removing is how long the end of a namespace may take.
const removing = time.Minute

// Remove removes everything, also if ctx has ended. The error says what stays, and how to remove it.
func (b *Bed) Remove(ctx context.Context, say func(string)) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), removing)
	defer stop()
	var errs []error
	for _, s := range b.Sites {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.Namespace}}
		if err := s.Delete(ctx, namespace); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("deleting namespace %s of cluster %s: %w", b.Namespace, s.ID, err))
		}
	}
	for _, s := range b.Sites {
		err := until(ctx, say, s, func(ctx context.Context, s *Site) error {
			err := s.Get(ctx, client.ObjectKey{Name: b.Namespace}, &corev1.Namespace{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(err, fmt.Errorf("namespace %s is still there: kubectl delete namespace -l %s=true removes it", b.Namespace, Label))
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
