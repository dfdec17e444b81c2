package serviceexport

import (
	"net/netip"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// examined are the addresses of hand-written slices, with the Services that they were looked up for:
// when an address changes hands, these are to be judged again. The zero examined is empty. It is safe
// for concurrent use.
type examined struct {
	mu        sync.Mutex
	services  map[netip.Addr]map[client.ObjectKey]bool
	addresses map[client.ObjectKey]map[netip.Addr]bool
}

// set replaces the addresses of a Service.
func (e *examined) set(service client.ObjectKey, addresses map[netip.Addr]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for a := range e.addresses[service] {
		delete(e.services[a], service)
		if len(e.services[a]) == 0 {
			delete(e.services, a)
		}
	}
	if delete(e.addresses, service); len(addresses) == 0 {
		return
	}
	if e.services == nil {
		e.services, e.addresses = map[netip.Addr]map[client.ObjectKey]bool{}, map[client.ObjectKey]map[netip.Addr]bool{}
	}
	e.addresses[service] = addresses
	for a := range addresses {
		if e.services[a] == nil {
			e.services[a] = map[client.ObjectKey]bool{}
		}
		e.services[a][service] = true
	}
}

// within are the Services with an address in the prefix.
func (e *examined) within(p netip.Prefix) (found []client.ObjectKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	add := func(services map[client.ObjectKey]bool) {
		for s := range services {
			found = append(found, s)
		}
	}
	if p.IsSingleIP() {
		add(e.services[p.Addr()])
		return found
	}
	for a, services := range e.services {
		if p.Contains(a) {
			add(services)
		}
	}
	return found
}
