package explain

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Zone is the DNS zone of clusterset names (KEP-1645).
const Zone = "clusterset.local"

// Name is a name of the clusterset.
type Name struct {
	Namespace, Service string
	// Host and Cluster come before a headless Service's name if it is one pod's; empty: it is not.
	Host, Cluster string
}

// ParseName reads what a user calls a name: web.shop, web with that namespace as default,
// web.shop.svc.clusterset.local, or HOST.CLUSTER before the latter for a pod of a headless Service.
func ParseName(text, namespace string) (Name, error) {
	name := strings.TrimSuffix(strings.ToLower(text), ".")
	long, whole := strings.CutSuffix(name, ".svc."+Zone)
	parts := strings.Split(long, ".")
	for _, p := range parts {
		if p == "" {
			return Name{}, fmt.Errorf("name %q has an empty part: such a name is web.shop or web.shop.svc.%s", text, Zone)
		}
	}
	switch {
	case len(parts) == 1 && !whole:
		return Name{Namespace: namespace, Service: parts[0]}, nil
	case len(parts) == 2:
		return Name{Service: parts[0], Namespace: parts[1]}, nil
	case len(parts) == 4:
		return Name{Host: parts[0], Cluster: parts[1], Service: parts[2], Namespace: parts[3]}, nil
	case whole && len(parts) == 3:
		return Name{}, fmt.Errorf("name %q: only a pod of a headless Service has its cluster in its name, as HOST.%s", text, name)
	}
	return Name{}, fmt.Errorf("name %q is none of the clusterset: such a name is web.shop, web.shop.svc.%s, "+
		"or POD.CLUSTER.web.shop.svc.%s", text, Zone, Zone)
}

// Key is the namespace and name of the name's objects.
func (n Name) Key() types.NamespacedName {
	return types.NamespacedName{Namespace: n.Namespace, Name: n.Service}
}

// String is the whole DNS name.
func (n Name) String() string {
	name := n.Service + "." + n.Namespace + ".svc." + Zone
	if n.Host != "" {
		name = n.Host + "." + n.Cluster + "." + name
	}
	return name
}
