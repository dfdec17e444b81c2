package clusterset

// The label of the Service, in namespace kube-system, whose address kubelets give to pods for their DNS: so
// kubeadm and most distributions have it, whatever serves it.
const (
	DNSServiceLabel = "k8s-app"
	DNSServiceApp   = "kube-dns"
)
