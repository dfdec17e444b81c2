package agent

import (
	"context"
	"errors"
	"slices"

	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// network is what leads packets to the gateways, and back to the nodes: the VXLAN and the routes
// over it.
type network struct {
	vxlan  vxlan.Config
	routes route.Config
}

// networkChange is what turns one network into another.
type networkChange struct {
	vxlan  vxlan.Change
	routes route.Change
}

func diffNetwork(have, want network) networkChange {
	return networkChange{vxlan: vxlan.Diff(have.vxlan, want.vxlan), routes: route.Diff(have.routes, want.routes)}
}

func (c networkChange) size() int { return c.vxlan.Size() + c.routes.Size() }

// inWords returns the words of each changed part.
func (c networkChange) inWords() []string {
	var words []string
	if len(c.vxlan.AddDevices)+len(c.vxlan.SetDevices)+len(c.vxlan.DeleteDevices) > 0 {
		words = append(words, "the VXLAN device")
	}
	return slices.Concat(words, inWords(c.routes.SetRoutes), inWords(c.routes.DeleteRoutes), inWords(c.routes.AddRules),
		inWords(c.routes.DeleteRules), inWords(c.vxlan.AddAddresses), inWords(c.vxlan.DeleteAddresses), inWords(c.vxlan.SetNeighbours), inWords(c.vxlan.DeleteNeighbours),
		inWords(c.vxlan.SetForwards), inWords(c.vxlan.DeleteForwards))
}

// syncNetwork makes the kernel match want and returns what it changed. It tries every part. What
// routes lead over comes before them and goes after them, so that no packet is lost on the way.
func syncNetwork(ctx context.Context, want network) (done networkChange, err error) {
	have, err := vxlan.Read(ctx, vxlan.Name)
	if err != nil {
		return done, err
	}
	change := vxlan.Diff(have, want.vxlan)
	added, errAdd := vxlan.Apply(ctx, change.Additions())
	routes, errRoutes := route.DataplaneOwner().Sync(ctx, want.routes)
	removed, errRemove := vxlan.Apply(ctx, change.Removals())
	added.DeleteDevices = append(added.DeleteDevices, removed.DeleteDevices...)
	added.DeleteAddresses = removed.DeleteAddresses
	added.DeleteNeighbours, added.DeleteForwards = removed.DeleteNeighbours, removed.DeleteForwards
	return networkChange{vxlan: added, routes: routes}, errors.Join(errAdd, errRoutes, errRemove)
}
