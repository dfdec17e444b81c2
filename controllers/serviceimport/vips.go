package serviceimport

import (
	"context"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/controllers/mcs"
)

// indexIP finds ServiceImports by address.
const indexIP = "spec.ips"

func byIP(obj client.Object) []string { return obj.(*mcsv1beta1.ServiceImport).Spec.IPs }

// ledger remembers the clusterset IPs that were given out, because the cache shows them a little later.
type ledger struct {
	mu   sync.Mutex
	held map[netip.Addr]string // guarded by mu; address to namespace/name
}

// allocate gives out clusterset IPs; what the ledger holds counts besides what the request's Holder knows.
func (l *ledger) allocate(r mcs.VIPRequest) ([]netip.Addr, []corev1.IPFamily, error) {
	own := r.Namespace + "/" + r.Name
	written := r.Holder
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Holder = func(addr netip.Addr) (string, bool) {
		if holder, held := l.held[addr]; held && holder != own {
			return holder, true
		}
		return written(addr)
	}
	vips, served, err := mcs.AllocateVIPs(r)
	if err != nil {
		return nil, nil, err
	}
	l.drop(own)
	if l.held == nil {
		l.held = map[netip.Addr]string{}
	}
	for _, vip := range vips {
		l.held[vip] = own
	}
	return vips, served, nil
}

// release forgets what namespace/name held.
func (l *ledger) release(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(key)
}

// drop needs mu.
func (l *ledger) drop(key string) {
	for addr, holder := range l.held {
		if holder == key {
			delete(l.held, addr)
		}
	}
}

// holder finds in the cache who else holds an address. An address that cannot be looked up counts as held: another is
// taken.
func (r *Reconciler) holder(ctx context.Context, own string) func(netip.Addr) (string, bool) {
	return func(addr netip.Addr) (string, bool) {
		list := &mcsv1beta1.ServiceImportList{}
		if err := r.Client.List(ctx, list, client.MatchingFields{indexIP: addr.String()}); err != nil {
			return "", true
		}
		lowest := ""
		for i := range list.Items {
			key := client.ObjectKeyFromObject(&list.Items[i]).String()
			if key != own && (lowest == "" || key < lowest) {
				lowest = key
			}
		}
		return lowest, lowest != ""
	}
}
