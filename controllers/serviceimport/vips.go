package serviceimport

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// indexIP finds ServiceImports by address.
const indexIP = "spec.ips"

func byIP(obj client.Object) []string {
	var all []string
	for _, addr := range addresses(obj.(*mcsv1beta1.ServiceImport)) {
		all = append(all, addr.String())
	}
	return all
}

// fullFor is how long a block counts as full, unless an address is given back. A search through all of a block is not
// to be repeated for each import that waits for room.
const fullFor = 5 * time.Second

// ledger remembers what this operator decided for each import: because the cache shows it a little later, and because
// what the ServiceImport says may have been edited. The zero value is empty. It is safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	entries map[string]entry           // guarded by mu; by namespace/name
	held    map[netip.Addr]string      // guarded by mu; address to namespace/name
	full    map[netip.Prefix]time.Time // guarded by mu; since when
}

// entry is what was decided for one ServiceImport; uid is empty while it is being made.
type entry struct {
	uid      types.UID
	addrs    []netip.Addr
	clusters []v1alpha1.ClusterID
}

// allocate gives out clusterset IPs for the ServiceImport, with what the ledger holds beside what the request says: an
// address that was given to it before is the dearest, one that was given to another is held.
func (l *ledger) allocate(r clusterset.VIPRequest, uid types.UID) clusterset.VIPs {
	own := r.Namespace + "/" + r.Name
	l.mu.Lock()
	defer l.mu.Unlock()
	decided, known := l.entries[own]
	if known && (uid == "" || uid == decided.uid) {
		r.Have = slices.Concat(decided.addrs, r.Have)
	}
	for block, since := range l.full {
		if time.Since(since) < fullFor {
			r.Full = append(r.Full, block)
		}
	}
	written := r.Holder
	r.Holder = func(addr netip.Addr) (string, bool) {
		given, held := l.held[addr]
		if held && given < own {
			return given, true
		}
		holder, shown := written(addr)
		if held && given != own && (!shown || given < holder) {
			return given, true
		}
		return holder, shown
	}
	vips := clusterset.AllocateVIPs(r)
	l.giveBack(own, decided.addrs)
	if slices.ContainsFunc(decided.addrs, func(a netip.Addr) bool { return !slices.Contains(vips.Addrs, a) }) {
		clear(l.full)
	}
	decided.uid, decided.addrs = uid, vips.Addrs
	l.keep(own, decided)
	for _, block := range vips.Full {
		if !slices.Contains(r.Full, block) {
			l.full[block] = time.Now()
		}
	}
	return vips
}

// clusters are those that the ServiceImport was last decided to be imported from; nil if that is not known.
func (l *ledger) clusters(key string, uid types.UID) []v1alpha1.ClusterID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if decided := l.entries[key]; decided.uid == uid {
		return decided.clusters
	}
	return nil
}

// importedFrom remembers from which clusters the ServiceImport is imported.
func (l *ledger) importedFrom(key string, uid types.UID, clusters []v1alpha1.ClusterID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	decided := l.entries[key]
	if decided.uid != uid {
		l.giveBack(key, decided.addrs)
		decided = entry{uid: uid}
	}
	decided.clusters = clusters
	l.keep(key, decided)
}

// release forgets namespace/name.
func (l *ledger) release(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if addrs := l.entries[key].addrs; len(addrs) > 0 {
		l.giveBack(key, addrs)
		clear(l.full)
	}
	delete(l.entries, key)
}

// keep needs mu.
func (l *ledger) keep(key string, e entry) {
	if l.entries == nil {
		l.entries, l.held, l.full = map[string]entry{}, map[netip.Addr]string{}, map[netip.Prefix]time.Time{}
	}
	l.entries[key] = e
	for _, addr := range e.addrs {
		l.held[addr] = key
	}
}

// giveBack needs mu.
func (l *ledger) giveBack(key string, addrs []netip.Addr) {
	for _, addr := range addrs {
		if l.held[addr] == key {
			delete(l.held, addr)
		}
	}
}

// holder finds in the cache who else holds an address, the one with the lowest namespace/name.
func (r *Reconciler) holder(ctx context.Context, own string, failed *error) func(netip.Addr) (string, bool) {
	return func(addr netip.Addr) (string, bool) {
		list := &mcsv1beta1.ServiceImportList{}
		if err := r.Client.List(ctx, list, client.MatchingFields{indexIP: addr.String()}, client.UnsafeDisableDeepCopy); err != nil {
			*failed = err
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
