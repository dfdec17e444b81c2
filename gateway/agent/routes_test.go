package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// tunnelsTo are the tunnels to that many clusters with two gateways each.
func tunnelsTo(t testing.TB, clusters int) plan.Tunnels {
	t.Helper()
	in := plan.Input{
		Name: "w", ClusterID: "west", ClusterSetID: "demo", Index: 4000, Transit: "245.0.0.0/8", BasePort: 51820,
		PrivateKey: wireguard.PrivateKey{7}, MTU: 1500,
	}
	for i := range clusters {
		r := plan.Remote{
			ClusterID: v1alpha1.ClusterID(fmt.Sprintf("c%d", i)), Index: int32(i + 1),
			CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", i)), v1alpha1.CIDR(fmt.Sprintf("fd00:%x::/48", i))},
		}
		for lane := range v1alpha1.Lane(2) {
			r.Gateways = append(r.Gateways, v1alpha1.RemoteGateway{
				Name: fmt.Sprint("g", lane), Lane: lane, PublicKey: publicKeyOf(byte(i+1), byte(lane)),
				Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.1", Port: 51820}},
			})
		}
		in.Remotes = append(in.Remotes, r)
	}
	tunnels, err := plan.NewTunnels(in)
	if err != nil {
		t.Fatal(err)
	}
	return tunnels
}

// publicKeyOf is a public key that no other two numbers have.
func publicKeyOf(cluster, lane byte) string {
	return wireguard.PrivateKey{1: cluster, 2: lane}.Public().String()
}

// allUpBut is a view in which all links are up except those to the remote gateway of that name.
func allUpBut(gateway string) func(plan.Tunnels) plan.View {
	return func(t plan.Tunnels) plan.View {
		view := plan.View{Links: map[plan.LinkID]plan.LinkView{}}
		for _, l := range t.Links {
			view.Links[l.LinkID] = plan.LinkView{Up: l.Gateway != gateway}
		}
		return view
	}
}

// devicesTo are the devices by which the memory's routes lead to the prefix.
func (k *memoryKernel) devicesTo(prefix string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.routes.Routes {
		if r.Destination.String() == prefix && r.Type == route.Unicast {
			return r.Links()
		}
	}
	return nil
}

// A link that goes down moves the routes without a look at the kernel, and only its cluster's.
func TestMoveReadsNothing(t *testing.T) {
	k := &memoryKernel{}
	w := routeWriter{kernel: memoryRoutes{k}}
	tunnels := tunnelsTo(t, 3)
	if _, _, err := w.sync(t.Context(), &tunnels, allUpBut("")); err != nil {
		t.Fatal(err)
	}
	reads := k.reads
	change, err := w.move(t.Context(), func(p plan.Tunnels) plan.View {
		view := allUpBut("")(p)
		view.Links[plan.LinkID{Cluster: "c1", Gateway: "g0"}] = plan.LinkView{}
		return view
	})
	if err != nil || k.reads != reads {
		t.Errorf("%d reads, error %v; want none", k.reads-reads, err)
	}
	for _, r := range change.SetRoutes {
		if got := r.Destination.String(); !slices.Contains([]string{"10.1.0.0/16", "fd00:1::/48", "245.0.32.0/20", "fd5f:f9b7:58d1:2::/64"}, got) {
			t.Errorf("the route to %s moved", got)
		}
	}
	if diff := cmp.Diff([]string{"tombolo1"}, k.devicesTo("10.1.0.0/16")); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	if change, err := w.move(t.Context(), allUpBut("g0")); err != nil || change.Size() == 0 {
		t.Errorf("the second move changes %v, error %v", change, err)
	}
	if change, err := w.move(t.Context(), allUpBut("g0")); err != nil || !change.Empty() {
		t.Errorf("a move that has nothing to move changes %v, error %v", change, err)
	}
}

// After a write that failed nobody knows what is there: only a pass that reads writes again.
func TestMoveAfterAnError(t *testing.T) {
	k := &memoryKernel{}
	w := routeWriter{kernel: memoryRoutes{k}}
	tunnels := tunnelsTo(t, 1)
	if _, _, err := w.sync(t.Context(), &tunnels, allUpBut("")); err != nil {
		t.Fatal(err)
	}
	k.refused = errors.New("busy")
	if _, err := w.move(t.Context(), allUpBut("g0")); !errors.Is(err, k.refused) {
		t.Errorf("error is %v", err)
	}
	k.refused = nil
	if change, err := w.move(t.Context(), allUpBut("g1")); err != nil || !change.Empty() {
		t.Errorf("without knowing what is there the move changes %v, error %v", change, err)
	}
	if _, _, err := w.sync(t.Context(), &tunnels, allUpBut("g1")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"tombolo0"}, k.devicesTo("10.0.0.0/16")); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

// slowRoutes do something while they are read for the first time.
type slowRoutes struct {
	memoryRoutes
	meanwhile func()
}

func (k *slowRoutes) Read(ctx context.Context) (route.Config, error) {
	have, err := k.memoryRoutes.Read(ctx)
	if f := k.meanwhile; f != nil {
		k.meanwhile = nil
		f()
	}
	return have, err
}

// A link may change its state while a pass reads the kernel: the move does not wait for the pass,
// and the pass keeps it.
func TestMoveDuringAPass(t *testing.T) {
	memory := &memoryKernel{}
	k := &slowRoutes{memoryRoutes: memoryRoutes{memory}}
	w := routeWriter{kernel: k}
	tunnels := tunnelsTo(t, 1)
	if _, _, err := w.sync(t.Context(), &tunnels, allUpBut("")); err != nil {
		t.Fatal(err)
	}
	down := ""
	view := func(p plan.Tunnels) plan.View { return allUpBut(down)(p) }
	k.meanwhile = func() {
		down = "g0"
		if change, err := w.move(t.Context(), view); err != nil || change.Empty() {
			t.Errorf("the move changes %v, error %v", change, err)
		}
	}
	change, _, err := w.sync(t.Context(), &tunnels, view)
	if err != nil || !change.Empty() {
		t.Errorf("the pass changes %v, error %v", change, err)
	}
	if diff := cmp.Diff([]string{"tombolo1"}, memory.devicesTo("10.0.0.0/16")); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

// absentRoutes take every change and do nothing.
type absentRoutes struct{}

func (absentRoutes) Read(context.Context) (route.Config, error) { return route.Config{}, nil }

func (absentRoutes) Apply(_ context.Context, c route.Change) (route.Change, error) { return c, nil }

// What the agent needs from the decision that links are down until it writes routes: all links to
// one of two gateways of each cluster go down, or come up, at once.
func BenchmarkMove(b *testing.B) {
	for _, clusters := range []int{1, 50} {
		b.Run(fmt.Sprint(clusters), func(b *testing.B) {
			w := routeWriter{kernel: absentRoutes{}}
			tunnels := tunnelsTo(b, clusters)
			if _, _, err := w.sync(b.Context(), &tunnels, allUpBut("")); err != nil {
				b.Fatal(err)
			}
			n := 0
			for b.Loop() {
				n++
				if _, err := w.move(b.Context(), allUpBut([]string{"", "g0"}[n%2])); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
