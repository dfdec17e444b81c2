package check

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// facts are what the checks of one cluster look at.
type facts struct {
	topology.Snapshot
	// version of the API server, such as v1.36.3.
	version string
	// mayInstall: the user may do everything in the cluster.
	mayInstall bool
	// coreDNS is the Deployment kube-system/coredns. It is nil if the cluster has none.
	coreDNS *appsv1.Deployment
}

// read reads the facts. What cannot be read is told in the snapshot.
func read(ctx context.Context, cluster *access.Cluster) facts {
	f := facts{Snapshot: snapshot.Read(ctx, cluster, cluster.Context)}
	if f.Unreadable != "" {
		return f
	}
	if err := f.readRest(ctx, cluster); err != nil {
		f.Unreadable = err.Error()
	}
	return f
}

func (f *facts) readRest(ctx context.Context, cluster *access.Cluster) error {
	asking, err := discovery.NewDiscoveryClientForConfig(cluster.Config)
	if err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	version, err := asking.ServerVersion()
	if err != nil {
		return fmt.Errorf("asking for the API server's version: %w", err)
	}
	f.version = version.GitVersion
	may := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"}}}
	if err := cluster.Create(ctx, may); err != nil {
		return fmt.Errorf("asking for your rights: %w", err)
	}
	f.mayInstall = may.Status.Allowed
	coreDNS := &appsv1.Deployment{}
	err = cluster.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "coredns"}, coreDNS)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Deployment kube-system/coredns: %w", err)
	}
	if err == nil {
		f.coreDNS = coreDNS
	}
	if f.Nodes == nil { // tombolo is not installed
		var nodes corev1.NodeList
		if err := cluster.List(ctx, &nodes); err != nil {
			return fmt.Errorf("reading the nodes: %w", err)
		}
		f.Nodes = nodes.Items
	}
	return nil
}
