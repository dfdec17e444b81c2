// Package controlplane runs real Kubernetes control planes as plain processes on the host's kernel:
// one etcd, and for every cluster a kube-apiserver with, as asked for, a kube-controller-manager
// and a kube-scheduler; with TLS, RBAC, the Node authorizer and NodeRestriction. It owns their
// certificates, kubeconfigs, ports and lives. It does not own nodes: it issues what a node needs
// (Cluster.Kubelet, Cluster.Proxy) and reaches kubelets through the dialer it is given.
//
// The integration tests of the controllers use it alone, without nodes. Three API servers are ready
// in about 4 s:
//
//	//go:build integration
//
//	var clusters *controlplane.ControlPlane
//
//	func TestMain(m *testing.M) { os.Exit(run(m)) }
//
//	func run(m *testing.M) int {
//		cp, err := controlplane.Start(context.Background(), controlplane.Config{
//			Clusters: []controlplane.ClusterConfig{{Name: "east"}, {Name: "west"}, {Name: "hub"}},
//		})
//		if err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			return 1
//		}
//		defer cp.Stop()
//		clusters = cp
//		return m.Run()
//	}
//
//	func TestExport(t *testing.T) {
//		c, err := client.New(clusters.Cluster("east").RESTConfig(), client.Options{})
//		...
//	}
//
// Such a cluster holds what the API server itself makes (the default namespaces, RBAC's default
// roles) and nothing else: no controller runs, so namespaces keep terminating and have no default
// ServiceAccount. Tests make namespaces of their own and let them be. A test that needs those
// controllers names them: ClusterConfig{Name: "hub", Controllers: controlplane.HubControllers()}.
package controlplane
