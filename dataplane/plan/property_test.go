package plan

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// source of choices: a random number generator, or the bytes that a fuzzer made up.
type chooser interface {
	// IntN is from 0 to n-1.
	IntN(n int) int
}

// bytesChooser chooses by bytes, and always the first when they are used up.
type bytesChooser struct{ bytes []byte }

func (b *bytesChooser) IntN(n int) int {
	if len(b.bytes) == 0 {
		return 0
	}
	x := int(b.bytes[0])
	b.bytes = b.bytes[1:]
	if n > 256 && len(b.bytes) > 0 {
		x, b.bytes = x<<8|int(b.bytes[0]), b.bytes[1:]
	}
	return x % n
}

func oneOf[T any](c chooser, all ...T) T { return all[c.IntN(len(all))] }

var anyCluster = []string{"west", "east", "north", "south", "", "elsewhere"}

// anyInput is an import as nobody would make it on purpose, and some that one would.
func anyInput(c chooser) Input {
	in := Input{Import: imported(nil), Now: start}
	for range 1 + c.IntN(3) {
		in.Import.Spec.IPs = append(in.Import.Spec.IPs, oneOf(c, "244.0.0.1", "fd77::1", "244.0.0.2", "10.0.0.1", "::ffff:244.0.0.1", "244.0.0.1", "x", ""))
	}
	for range 1 + c.IntN(3) {
		in.Import.Spec.Ports = append(in.Import.Spec.Ports, port(oneOf(c, "http", "dns", ""), oneOf[corev1.Protocol](c, "TCP", "UDP", "SCTP", "", "X"), oneOf[int32](c, 80, 53, 81, 0, 70000)))
	}
	in.Import.Spec.TrafficDistribution = oneOf(c, nil, ptr.To("PreferSameZone"), ptr.To("PreferSameNode"), ptr.To("PreferClose"), ptr.To("else"))
	in.Import.Spec.InternalTrafficPolicy = oneOf(c, nil, nil, ptr.To(corev1.ServiceInternalTrafficPolicyCluster), ptr.To(corev1.ServiceInternalTrafficPolicyLocal))
	in.Import.Spec.SessionAffinity = oneOf(c, corev1.ServiceAffinityNone, corev1.ServiceAffinityClientIP)
	in.Import.Spec.Type = oneOf(c, mcsv1beta1.ClusterSetIP, mcsv1beta1.ClusterSetIP, mcsv1beta1.ClusterSetIP, mcsv1beta1.Headless)
	in.Place = anyPlace(c)
	in.Slices = anySlices(c)
	in.Policy = anyPolicy(c)
	return in
}

func anyPlace(c chooser) Place {
	p := place()
	p.Zone = oneOf(c, "a", "b", "")
	p.Area = clusterset.Area{Region: oneOf(c, "eu", "us", ""), ZoneDomain: oneOf(c, "one", "")}
	p.Locality = oneOf(c, v1alpha1.LocalityNone, v1alpha1.LocalityLocalFirst, "")
	p.FailBack = oneOf(c, 30*time.Second, 0, time.Hour, -time.Second)
	p.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	p.Remotes = map[v1alpha1.ClusterID]Remote{}
	for _, id := range anyCluster {
		if c.IntN(3) > 0 {
			p.Remotes[v1alpha1.ClusterID(id)] = Remote{Area: clusterset.Area{Region: oneOf(c, "eu", "us", ""), ZoneDomain: oneOf(c, "one", "")}, Unreachable: c.IntN(3) == 0}
		}
	}
	return p
}

func anySlices(c chooser) []*discoveryv1.EndpointSlice {
	var all []*discoveryv1.EndpointSlice
	for i := range c.IntN(6) {
		s := slice(oneOf(c, anyCluster...), oneOf(c, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN), nil)
		s.Name = fmt.Sprintf("%s-%d", s.Name, i)
		for range c.IntN(3) {
			s.Ports = append(s.Ports, oneOf(c, slicePort("http", "TCP", 8080), slicePort("http", "TCP", 80), slicePort("dns", "UDP", 53),
				slicePort("", "TCP", 1), slicePort("http", "UDP", 0), slicePort("http", "SCTP", 9), discoveryv1.EndpointPort{}, slicePort("http", "TCP", 99999)))
		}
		for range c.IntN(8) {
			s.Endpoints = append(s.Endpoints, anyEndpoint(c))
		}
		if c.IntN(12) == 0 {
			s.Labels = nil
		}
		if c.IntN(15) == 0 {
			s = nil
		}
		all = append(all, s)
	}
	return all
}

func anyEndpoint(c chooser) discoveryv1.Endpoint {
	said := func() *bool { return oneOf(c, nil, ptr.To(true), ptr.To(false)) }
	e := discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: said(), Serving: said(), Terminating: said()}}
	if c.IntN(10) > 0 {
		e.Addresses = []string{oneOf(c, "10.1.0.1", "10.1.0.2", "10.2.0.1", "10.2.0.2", "10.2.0.3", "fd01::1", "fd02::1", "fd02::2",
			"127.0.0.1", "::1", "fe80::1", "244.0.0.9", "fd77::9", "192.0.2.1", "::ffff:10.1.0.1", "0.0.0.0", "x", "10.1.0.1%eth0", "fd01::1%eth0")}
	}
	e.Zone = oneOf(c, nil, ptr.To("a"), ptr.To("b"), ptr.To(""))
	e.NodeName = oneOf(c, nil, ptr.To("worker"), ptr.To("other"))
	return e
}

func anyPolicy(c chooser) *v1alpha1.TrafficPolicy {
	if c.IntN(2) == 0 {
		return nil
	}
	p := &v1alpha1.TrafficPolicy{}
	for range c.IntN(4) {
		step := v1alpha1.FailoverStep{}
		for range c.IntN(3) {
			step.Clusters = append(step.Clusters, v1alpha1.ClusterID(oneOf(c, anyCluster...)))
		}
		step.Regions = oneOf(c, nil, []string{"eu"}, []string{"us", ""})
		p.Spec.Failover = append(p.Spec.Failover, step)
	}
	for range c.IntN(4) {
		p.Spec.Weights = append(p.Spec.Weights, v1alpha1.ClusterWeight{Cluster: v1alpha1.ClusterID(oneOf(c, anyCluster...)), Weight: oneOf[int32](c, 1, 0, 5, 95, 1000, -1)})
	}
	if c.IntN(2) == 0 {
		p.Spec.Spillover = &v1alpha1.Spillover{OverprovisioningPercent: oneOf[int32](c, 140, 100, 0, 1000, -5)}
	}
	return p
}

// checkPlan tells what of a plan breaks a rule that holds for any input.
func checkPlan(t *testing.T, in Input, out Output) {
	t.Helper()
	told := fmt.Sprintf("%+v", in.Slices)
	if !slices.IsSortedFunc(out.Services, func(a, b VirtualService) int { return a.Key.Compare(b.Key) }) {
		t.Errorf("services are not sorted: %v", text(out.Services))
	}
	for i, v := range out.Services {
		if i > 0 && out.Services[i-1].Key == v.Key {
			t.Errorf("%v is there twice", v.Key)
		}
		if !clusterset.Contains(in.Place.VIPs, v.Address) || v.Port == 0 {
			t.Errorf("%v is not to be served", v.Key)
		}
		checkDestinations(t, in, v)
	}
	if len(out.Skipped) > maxSkipped+1 {
		t.Errorf("%d skipped", len(out.Skipped))
	}
	if !out.Again.IsZero() && !out.Again.After(in.Now) {
		t.Errorf("again at %s, which is not after %s", out.Again, in.Now)
	}
	if again := Services(Input{Import: in.Import, Slices: in.Slices, Policy: in.Policy, Place: in.Place, Now: in.Now, Memory: out.Memory}); !reflect.DeepEqual(again, out) {
		t.Errorf("planned again it differs:\n%+v\n%+v", out, again)
	}
	turned := in
	turned.Slices = slices.Clone(in.Slices)
	slices.Reverse(turned.Slices)
	if other := Services(turned); !reflect.DeepEqual(other, out) || !reflect.DeepEqual(Explain(turned), Explain(in)) {
		t.Errorf("the order of slices shows:\n%+v\n%+v", out, other)
	}
	checkExplained(t, in, out)
	if told != fmt.Sprintf("%+v", in.Slices) {
		t.Error("the input was changed")
	}
}

// checkDestinations by what the slices say, looked at in another way than the plan does.
func checkDestinations(t *testing.T, in Input, v VirtualService) {
	t.Helper()
	offered := map[netip.AddrPort]bool{} // to whether it is ready, in a cluster that gets new flows
	anyReady := false
	for _, s := range in.Slices {
		if s == nil || s.Labels[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy || s.Labels[v1alpha1.LabelSourceCluster] == "" ||
			s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		own := s.Labels[v1alpha1.LabelSourceCluster] == "west"
		for _, p := range s.Ports {
			if !servesPort(in.Import, v.Key, p) {
				continue
			}
			for _, e := range s.Endpoints {
				if len(e.Addresses) == 0 {
					continue
				}
				a, err := netip.ParseAddr(e.Addresses[0])
				if err != nil || a.Is4() != v.Address.Is4() || a.Is4() != (s.AddressType == discoveryv1.AddressTypeIPv4) || a.Zone() != "" || a.Is4In6() ||
					!a.IsGlobalUnicast() || clusterset.Contains(in.Place.VIPs, a) || !own && a.String() == "192.0.2.1" {
					continue
				}
				local := in.Import.Spec.InternalTrafficPolicy != nil && *in.Import.Spec.InternalTrafficPolicy == "Local"
				ready := ptr.Deref(e.Conditions.Ready, true) && !drainedBy(in.Policy, s.Labels[v1alpha1.LabelSourceCluster]) &&
					(!local || own && ptr.Deref(e.NodeName, "") == "worker")
				offered[netip.AddrPortFrom(a, uint16(*p.Port))] = offered[netip.AddrPortFrom(a, uint16(*p.Port))] || ready
				anyReady = anyReady || ready
			}
		}
	}
	sum := uint64(0)
	for i, d := range v.Destinations {
		if i > 0 && v.Destinations[i-1].Compare(d) >= 0 {
			t.Errorf("destinations of %v are not sorted or not distinct: %v", v.Key, v.Destinations)
		}
		if _, ok := offered[netip.AddrPortFrom(d.Address, d.Port)]; !ok {
			t.Errorf("%v:%d is nobody's", d.Address, d.Port)
		}
		if d.Weight > largest {
			t.Errorf("weight %d", d.Weight)
		}
		sum += uint64(d.Weight)
	}
	if anyReady && sum == 0 {
		t.Errorf("%v: somebody is ready and nobody serves: %v", v.Key, offered)
	}
}

// servesPort tells whether that port of a slice is the one of the key, by the first port of the
// import with that key.
func servesPort(si *mcsv1beta1.ServiceImport, key Key, p discoveryv1.EndpointPort) bool {
	taken := map[string]bool{}
	for _, own := range si.Spec.Ports {
		if own.Port < 1 || own.Port > 65535 || own.Protocol == "X" || taken[own.Name] || taken[fmt.Sprint(own.Port, protocolOf(&own.Protocol))] {
			continue
		}
		taken[own.Name], taken[fmt.Sprint(own.Port, protocolOf(&own.Protocol))] = true, true
		if uint16(own.Port) == key.Port && string(protocolOf(&own.Protocol)) == key.Protocol.String() {
			return ptr.Deref(p.Name, "") == own.Name && string(protocolOf(p.Protocol)) == key.Protocol.String() && p.Port != nil && *p.Port > 0 && *p.Port < 65536
		}
	}
	return false
}

func drainedBy(p *v1alpha1.TrafficPolicy, cluster string) bool {
	if p != nil {
		for _, w := range p.Spec.Weights {
			if string(w.Cluster) == cluster {
				return w.Weight <= 0
			}
		}
	}
	return false
}

// checkExplained: what is explained is what is planned.
func checkExplained(t *testing.T, in Input, out Output) {
	t.Helper()
	explained := Explain(in)
	if len(explained) != len(out.Services) {
		t.Fatalf("%d services, %d explanations", len(out.Services), len(explained))
	}
	for i, e := range explained {
		v := out.Services[i]
		if (Key{Address: e.Address, Protocol: serviceport.ParseProtocol(string(e.Protocol)), Port: e.Port}) != v.Key || e.Scheduler != v.Scheduler || e.Outcome == "" {
			t.Errorf("%v is explained as %+v", v.Key, e)
		}
		var programmed []Destination
		levels, sum := map[int]float64{}, 0.0
		for _, x := range e.Endpoints {
			if x.Why == "" || x.Level > len(e.Levels) {
				t.Errorf("not explained: %+v", x)
			}
			if x.Programmed {
				programmed = append(programmed, Destination{Address: x.Address, Port: x.Port, Weight: x.Weight})
			}
			if x.Weight > 0 {
				levels[x.Level] += float64(x.Weight)
				sum += float64(x.Weight)
			}
		}
		same := slices.EqualFunc(programmed, v.Destinations, func(a, b Destination) bool { return a.Compare(b) == 0 && a.Weight == b.Weight })
		if !same {
			t.Errorf("%v: explained %v, planned %v", v.Key, programmed, v.Destinations)
		}
		for i, l := range e.Levels {
			got := 0.0
			if sum > 0 {
				got = 100 * levels[i+1] / sum
			}
			if math.Abs(got-l.SharePercent) > coarse*l.SharePercent+0.01 { // percent are rounded
				t.Errorf("%v: level %d gets %.3f %% by its weights, and %+v", v.Key, i+1, got, l)
			}
		}
	}
}

// live plans an import through changes of all that may change, and checks every plan.
func live(t *testing.T, c chooser, changes int) {
	t.Helper()
	in := anyInput(c)
	draining := map[string]time.Time{}
	for range changes {
		before := fmt.Sprintf("%+v", in.Memory)
		out := Services(in)
		if before != fmt.Sprintf("%+v", in.Memory) {
			t.Fatal("the memory was changed")
		}
		checkPlan(t, in, out)
		checkDrains(t, in, out, draining)
		if t.Failed() {
			return
		}
		in.Memory = out.Memory
		in.Now = in.Now.Add(oneOf(c, time.Second, 0, 10*time.Second, 31*time.Second, 5*time.Minute, 20*time.Minute))
		if !out.Again.IsZero() && c.IntN(2) == 0 {
			in.Now = out.Again
		}
		switch c.IntN(6) {
		case 0:
			in.Place = anyPlace(c)
		case 1:
			in.Policy = anyPolicy(c)
		case 2, 3:
			in.Slices = anySlices(c)
		case 4:
			for _, s := range in.Slices {
				if s != nil && len(s.Endpoints) > 0 {
					*s = *s.DeepCopy()
					s.Endpoints[c.IntN(len(s.Endpoints))].Conditions = anyEndpoint(c).Conditions
				}
			}
		}
	}
}

// checkDrains: no destination has weight 0 for longer than it may without a break.
func checkDrains(t *testing.T, in Input, out Output, since map[string]time.Time) {
	t.Helper()
	now := map[string]bool{}
	for _, v := range out.Services {
		for _, d := range v.Destinations {
			if d.Weight > 0 {
				continue
			}
			name := fmt.Sprint(v.Key, d.Address, d.Port)
			now[name] = true
			if _, ok := since[name]; !ok {
				since[name] = in.Now
			}
			if in.Now.Sub(since[name]) >= drainFor {
				t.Errorf("%s drains since %s, it is %s", name, since[name], in.Now)
			}
			if out.Again.IsZero() || out.Again.After(since[name].Add(drainFor)) {
				t.Errorf("%s drains since %s, and nothing is due before %s", name, since[name], out.Again)
			}
		}
	}
	maps.DeleteFunc(since, func(name string, _ time.Time) bool { return !now[name] })
}

func TestAnything(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		live(t, random, 6)
		if t.Failed() {
			return
		}
	}
}

func FuzzServices(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		seed := make([]byte, 400)
		for i := range seed {
			seed[i] = byte(random.IntN(256))
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, choices []byte) { live(t, &bytesChooser{choices}, 4) })
}
