package pack

import (
	"cmp"
	"maps"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// gross is the largest ratio of a group's slices to the slices that it needs. Above it, endpoints
// move from the emptiest slices to the fullest. That takes about as many writes as there are
// slices, so it must be rare: half of the endpoints must go before it can happen again.
const gross = 2

// bin is a slice on the hub, as it is and as it should be.
type bin struct {
	old       *discoveryv1.EndpointSlice // nil: there is none yet
	group     *group                     // nil: the endpoints of none are in it
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
	// gives is true if it loses endpoints that other bins should hold. Such a bin gets no others,
	// so that all bins that get endpoints can be written before all that give some.
	gives bool
}

// differs tells whether the bin needs a write, as it is now.
func (b *bin) differs() bool {
	return b.old == nil || !equality.Semantic.DeepEqual(b.endpoints, b.old.Endpoints) || !equality.Semantic.DeepEqual(b.ports, b.old.Ports)
}

// family packs the endpoints that a Service has in one IP family.
type family struct {
	limit   int
	groups  []*group // in order
	waiting map[*group]map[endpointID]discoveryv1.Endpoint
	wanted  map[string]bool // addresses
	bins    []*bin          // in the order of their names, new ones last
}

func newFamily(limit int, groups map[portGroup]*group, t discoveryv1.AddressType) *family {
	f := &family{
		limit:   cmp.Or(limit, DefaultEndpointsPerSlice),
		waiting: map[*group]map[endpointID]discoveryv1.Endpoint{},
		wanted:  map[string]bool{},
	}
	for _, key := range slices.SortedFunc(maps.Keys(groups), portGroup.compare) {
		if key.family != t {
			continue
		}
		g := groups[key]
		f.groups = append(f.groups, g)
		f.waiting[g] = maps.Clone(g.endpoints)
		for id := range g.endpoints {
			f.wanted[id.address] = true
		}
	}
	return f
}

// pack decides what is in each bin.
func (f *family) pack(old []*discoveryv1.EndpointSlice) {
	for _, s := range old {
		b := &bin{old: s, ports: s.Ports}
		f.bins = append(f.bins, b)
		if b.group = f.groupFor(s); b.group != nil {
			f.keep(b)
		}
	}
	for _, b := range f.bins {
		b.gives = len(f.loses(b)) > 0
	}
	for _, g := range f.groups {
		fill, more := f.room(g, false)
		if f.count(g, fill)+more > gross*ceil(len(g.endpoints), f.limit) {
			f.dissolve(g)
			fill, more = f.room(g, true)
		}
		for range more {
			fill = append(fill, &bin{})
			f.bins = append(f.bins, fill[len(fill)-1])
		}
		f.fill(g, fill)
	}
}

// groupFor returns the group that the slice belongs to: the one with its ports. If there is none,
// it is the group with most of its addresses, so that a new target port rewrites the existing
// slices. It is nil if no group has any of its addresses.
func (f *family) groupFor(old *discoveryv1.EndpointSlice) *group {
	_, text := canonicalPorts(old.Ports)
	text = groupText(text, clusterset.External(old.Labels))
	var best *group
	most := 0
	for _, g := range f.groups {
		if g.text == text {
			return g
		}
		n := 0
		for i := range old.Endpoints {
			if _, wanted := g.endpoints[idOf(&old.Endpoints[i])]; wanted {
				n++
			}
		}
		if n > most {
			best, most = g, n
		}
	}
	return best
}

// keep leaves in the bin what is in it and still wanted, up to the limit, except what an earlier
// bin has kept.
func (f *family) keep(b *bin) {
	for i := range b.old.Endpoints {
		id := idOf(&b.old.Endpoints[i])
		if e, waits := f.waiting[b.group][id]; waits && len(b.endpoints) < f.limit {
			b.endpoints = append(b.endpoints, e)
			delete(f.waiting[b.group], id)
		}
	}
	if len(b.endpoints) > 0 {
		b.ports = b.group.ports
	}
}

// loses are the addresses that are wanted and that the bin no longer holds, so that another bin
// must.
func (f *family) loses(b *bin) []string {
	if b.old == nil {
		return nil
	}
	kept := addresses(b.endpoints)
	var lost []string
	for a := range addresses(b.old.Endpoints) {
		if f.wanted[a] && !kept[a] {
			lost = append(lost, a)
		}
	}
	return lost
}

// room finds bins for the endpoints of a group that wait: those to fill, in order, and how many new
// ones. Bins that are written anyway come first, the fullest before others. What would not fill a
// new slice goes into the fullest bin that can hold all of it. If everywhere is true, all bins of
// the group may be written.
func (f *family) room(g *group, everywhere bool) (fill []*bin, more int) {
	n := len(f.waiting[g])
	var others []*bin
	for _, b := range f.candidates(g) {
		switch {
		case n <= 0:
			return fill, 0
		case everywhere, b.differs(), len(b.endpoints) == 0: // an empty one would be deleted
			fill = append(fill, b)
			n -= f.limit - len(b.endpoints)
		default:
			others = append(others, b)
		}
	}
	if n <= 0 {
		return fill, 0
	}
	remainder := n % f.limit
	for _, b := range others {
		if remainder > 0 && remainder <= f.limit-len(b.endpoints) {
			return append(fill, b), n / f.limit
		}
	}
	return fill, ceil(n, f.limit)
}

// candidates are the bins with room for the group: the fullest first, and empty ones of any group
// last.
func (f *family) candidates(g *group) []*bin {
	var found []*bin
	for _, b := range f.bins {
		if !b.gives && len(b.endpoints) < f.limit && (b.group == g || len(b.endpoints) == 0) {
			found = append(found, b)
		}
	}
	slices.SortStableFunc(found, fullest)
	return found
}

func fullest(a, b *bin) int { return cmp.Compare(len(b.endpoints), len(a.endpoints)) }

// count is how many bins of a group hold something once the bins of fill are filled.
func (f *family) count(g *group, fill []*bin) int {
	n := 0
	for _, b := range f.bins {
		if b.group == g && len(b.endpoints) > 0 {
			n++
		}
	}
	for _, b := range fill {
		if len(b.endpoints) == 0 {
			n++
		}
	}
	return n
}

// dissolve empties all bins of the group except the fullest: as many as it needs stay.
func (f *family) dissolve(g *group) {
	stay := slices.DeleteFunc(f.candidates(g), func(b *bin) bool { return len(b.endpoints) == 0 })
	for _, b := range f.bins {
		if b.group == g && !b.gives && len(b.endpoints) == f.limit {
			stay = append(stay, b)
		}
	}
	slices.SortStableFunc(stay, fullest)
	stay = stay[:min(len(stay), ceil(len(g.endpoints), f.limit))]
	for _, b := range f.bins {
		if b.group != g || slices.Contains(stay, b) {
			continue
		}
		for _, e := range b.endpoints {
			f.waiting[g][idOf(&e)] = e
			b.gives = true
		}
		b.endpoints = nil
	}
}

// fill puts the endpoints of the group that wait into the bins, in order.
func (f *family) fill(g *group, bins []*bin) {
	ids := slices.SortedFunc(maps.Keys(f.waiting[g]), endpointID.compare)
	for _, b := range bins {
		n := min(len(ids), f.limit-len(b.endpoints))
		b.group, b.ports = g, g.ports
		for _, id := range ids[:n] {
			b.endpoints = append(b.endpoints, f.waiting[g][id])
		}
		ids = ids[n:]
	}
}

// placeholder is the bin that stays although it is empty, as the family's only one. It is nil if a
// bin holds something.
func (f *family) placeholder() *bin {
	for _, b := range f.bins {
		if len(b.endpoints) > 0 {
			return nil
		}
	}
	for _, b := range f.bins {
		if len(b.old.Endpoints) == 0 { // no write
			return b
		}
	}
	if len(f.bins) == 0 {
		f.bins = []*bin{{}}
	}
	return f.bins[0]
}

// writes adds the writes of the family. slice is what the hub should hold for a bin.
func (f *family) writes(packing *Packing, slice func(*bin) discoveryv1.EndpointSlice) {
	placeholder, given := f.placeholder(), map[string]bool{}
	for _, b := range f.bins {
		for _, a := range f.loses(b) {
			given[a] = true
		}
	}
	for _, b := range f.bins {
		to := &packing.First
		if b.gives {
			to = &packing.Then
		}
		if len(b.endpoints) == 0 && b != placeholder {
			to.Deletes = append(to.Deletes, *b.old)
			continue
		}
		want := slice(b)
		differs := b.old == nil || !mcs.SameSlice(b.old, &want)
		if differs {
			to.Puts = append(to.Puts, want)
		}
		if (b.gives || !differs) && b.vouches(given) {
			packing.First.Puts = append(packing.First.Puts, *b.old)
		}
	}
}

// vouches tells whether the bin holds, and will hold, an address that another bin gives away.
func (b *bin) vouches(given map[string]bool) bool {
	had := map[string]bool{}
	if b.old != nil {
		had = addresses(b.old.Endpoints)
	}
	return slices.ContainsFunc(b.endpoints, func(e discoveryv1.Endpoint) bool {
		return given[e.Addresses[0]] && had[e.Addresses[0]]
	})
}

func addresses(endpoints []discoveryv1.Endpoint) map[string]bool {
	all := make(map[string]bool, len(endpoints))
	for i := range endpoints {
		all[idOf(&endpoints[i]).address] = true
	}
	return all
}

func ceil(n, size int) int { return (n + size - 1) / size }
