package ipvs

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// TestDecode: what is written is what is read.
func TestDecode(t *testing.T) {
	for _, k := range []Key{key("244.0.0.1:80", serviceport.TCP), key("[fd77::1]:53", serviceport.UDP)} {
		for _, affinity := range []time.Duration{0, 90 * time.Second} {
			want := Service{Scheduler: "mh", Affinity: affinity}
			b := appendServiceAttr(nil, Operation{Verb: AddService, Key: k, Service: want})
			gotKey, got, ok := decodeService(padded(attribute(b, attrService)))
			if diff := cmp.Diff(want, got); !ok || gotKey != k || diff != "" {
				t.Errorf("%s is read as %s, %t (-want +got)\n%s", k, gotKey, ok, diff)
			}
		}
		want := Destination{Address: k.Address, Port: k.Port, Weight: 70000}
		got, ok := decodeDestination(attribute(appendDestAttr(nil, want), attrDest))
		if !ok || got != want {
			t.Errorf("destination %v is read as %v, %t", want, got, ok)
		}
	}
	byMark := appendUint32(appendUint16(nil, svcFamily, unix.AF_INET), svcMark, 7)
	if _, _, ok := decodeService(byMark); ok {
		t.Error("a service by firewall mark is read as one with an address")
	}
}

// padded is the service with an address of 16 bytes, as the kernel sends it.
func padded(b []byte) []byte {
	var all []byte
	attributes(b, func(kind uint16, value []byte) {
		if kind == svcAddress {
			value = append(value[:len(value):len(value)], make([]byte, 16-len(value))...)
		}
		all = appendAttr(all, kind, value)
	})
	return all
}

// FuzzDecode: whatever the kernel sends, it is read without a panic, and an address has its family.
func FuzzDecode(f *testing.F) {
	service := appendServiceAttr(nil, Operation{Verb: AddService, Key: key("244.0.0.1:80", serviceport.TCP), Service: Service{Scheduler: "wrr"}})
	destination := appendDestAttr(nil, Destination{Address: netip.MustParseAddr("10.1.0.5"), Port: 80, Weight: 1})
	f.Add(service)
	f.Add(destination)
	f.Add(service[:len(service)-3])
	f.Add([]byte{3, 0, 0, 0, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, part := range [][]byte{b, attribute(b, attrService), attribute(b, attrDest)} {
			if k, _, ok := decodeService(part); ok && !k.Address.IsValid() {
				t.Errorf("a service without an address: %v", k)
			}
			if d, ok := decodeDestination(part); ok && !d.Address.IsValid() {
				t.Errorf("a destination without an address: %v", d)
			}
		}
		errnoOf(b)
	})
}
