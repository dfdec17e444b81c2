package serviceimport

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// fullFor is how long a block counts as full, unless an address in it is freed. So imports that
// wait for room do not each search the whole block.
const fullFor = 5 * time.Second

// spentFor is when an import whose cluster has taken its share of a block asks again. There may be
// thousands of them.
const spentFor = 30 * time.Second

// decisions remember what this operator decided for each import. The cache shows it a little later,
// and somebody may have edited what the ServiceImport says. The zero value is empty. It is safe for
// concurrent use.
type decisions struct {
	mu       sync.Mutex
	byImport map[string]decision           // guarded by mu; by namespace/name
	held     map[netip.Addr]string         // guarded by mu; address to namespace/name
	full     map[netip.Prefix]time.Time    // guarded by mu; since when
	seeded   bool                          // guarded by mu; payers knows what was assigned before this operator started
	payers   payers                        // guarded by mu
	short    map[string]v1alpha1.ClusterID // guarded by mu; imports that lack addresses because this cluster has taken its share
}

// decision is about one ServiceImport; uid is empty while it is being created.
type decision struct {
	uid      types.UID
	addrs    []netip.Addr
	clusters []v1alpha1.ClusterID
}

// seed makes payers know what was assigned before this operator started, once. list returns it.
func (d *decisions) seed(list func() (map[netip.Addr]v1alpha1.ClusterID, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seeded {
		return nil
	}
	before, err := list()
	if err != nil {
		return err
	}
	d.payers, d.seeded = before, true
	return nil
}

// assignVIPs chooses clusterset IPs for the ServiceImport. Beside what the request says, it uses
// what was decided before: an address that this import had comes first, and one that another import
// has is held. payer says for whom the addresses count.
func (d *decisions) assignVIPs(r clusterset.VIPRequest, uid types.UID, payer payer) clusterset.VIPs {
	own := r.Namespace + "/" + r.Name
	d.mu.Lock()
	defer d.mu.Unlock()
	decided, known := d.byImport[own]
	if known && (uid == "" || uid == decided.uid) {
		r.Have = slices.Concat(decided.addrs, r.Have)
	}
	for block, since := range d.full {
		if time.Since(since) < fullFor {
			r.Full = append(r.Full, block)
		}
	}
	cached := r.Holder
	r.Holder = func(addr netip.Addr) (string, bool) {
		assigned, held := d.held[addr]
		if held && assigned < own {
			return assigned, true
		}
		holder, shown := cached(addr)
		if held && assigned != own && (!shown || assigned < holder) {
			return assigned, true
		}
		return holder, shown
	}
	r.Spent = func(block netip.Prefix) bool {
		return !clusterset.VIPRoom(clusterset.VIPCapacity(block), d.payers.held(block), payer.cluster, payer.members)
	}
	vips := clusterset.AllocateVIPs(r)
	d.free(own, decided.addrs)
	if slices.ContainsFunc(decided.addrs, func(a netip.Addr) bool { return !slices.Contains(vips.Addrs, a) }) {
		clear(d.full)
	}
	decided.uid, decided.addrs = uid, vips.Addrs
	d.store(own, decided)
	for _, addr := range vips.Addrs {
		d.payers[addr] = payer.cluster
	}
	for _, block := range vips.Full {
		if !slices.Contains(r.Full, block) {
			d.full[block] = time.Now()
		}
	}
	return vips
}

// spent remembers whether the import lacks addresses because the cluster has taken its share. It
// returns for which cluster it lacked some before, empty if it did not.
func (d *decisions) spent(key string, cluster v1alpha1.ClusterID, now bool) (before v1alpha1.ClusterID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before = d.short[key]
	switch {
	case !now:
		delete(d.short, key)
	case d.short == nil:
		d.short = map[string]v1alpha1.ClusterID{key: cluster}
	default:
		d.short[key] = cluster
	}
	return before
}

// clusters are the clusters that the ServiceImport imports from, as last decided; nil if unknown.
func (d *decisions) clusters(key string, uid types.UID) []v1alpha1.ClusterID {
	d.mu.Lock()
	defer d.mu.Unlock()
	if decided := d.byImport[key]; decided.uid == uid {
		return decided.clusters
	}
	return nil
}

// setClusters remembers from which clusters the ServiceImport imports.
func (d *decisions) setClusters(key string, uid types.UID, clusters []v1alpha1.ClusterID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	decided := d.byImport[key]
	if decided.uid != uid {
		d.free(key, decided.addrs)
		decided = decision{uid: uid}
	}
	decided.clusters = clusters
	d.store(key, decided)
}

// forget drops what was decided for namespace/name and frees its addresses.
func (d *decisions) forget(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if addrs := d.byImport[key].addrs; len(addrs) > 0 {
		d.free(key, addrs)
		clear(d.full)
	}
	delete(d.byImport, key)
}

// store needs mu.
func (d *decisions) store(key string, decided decision) {
	if d.byImport == nil {
		d.byImport, d.held, d.full = map[string]decision{}, map[netip.Addr]string{}, map[netip.Prefix]time.Time{}
	}
	d.byImport[key] = decided
	for _, addr := range decided.addrs {
		d.held[addr] = key
	}
}

// free needs mu.
func (d *decisions) free(key string, addrs []netip.Addr) {
	for _, addr := range addrs {
		if d.held[addr] == key {
			delete(d.held, addr)
			delete(d.payers, addr)
		}
	}
}
