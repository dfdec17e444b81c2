package clusterset

// The label of the Service in namespace kube-system whose address kubelets give to pods for their
// DNS. Kubeadm and most distributions set it, whatever serves DNS.
const (
	DNSServiceLabel = "k8s-app"
	DNSServiceApp   = "kube-dns"
)
