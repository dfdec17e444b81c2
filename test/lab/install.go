package lab

import (
	"context"
	"path/filepath"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/install"
	"github.com/tombolo-net/tombolo/test/lab/image"
)

// install installs tombolo in every cluster with the manifests of the folder config, and returns
// when every cluster reaches every other and its CoreDNS serves clusterset.local.
func (l *Lab) install(ctx context.Context, config string) (err error) {
	w := &waiting{}
	done := l.progress.step("installing tombolo", 30*time.Second, w.String)
	defer func() { done(err) }()
	if _, err := l.archive(ctx, image.TomboloRef); err != nil {
		return err
	}
	clusters := make([]install.Cluster, 0, len(l.topology.Clusters))
	for _, c := range l.topology.Clusters {
		member := install.Cluster{
			Name: c.Name, PodCIDRs: c.PodCIDRs, Nodes: len(c.Nodes),
			HubServer: l.controlPlane.Cluster(Hub).NodeURLFor(c.Primary4()),
		}
		if !c.servesClusterIPs() {
			member.APIServer = l.apiServer(c.Name)
		}
		clusters = append(clusters, member)
	}
	return install.Run(ctx, install.Config{
		Kubectl: filepath.Join(l.options.Bin, "kubectl"), Kubeconfig: l.Kubeconfig(),
		Hub: Hub, Manifests: config, Clusters: clusters, Waiting: w.add,
	})
}
