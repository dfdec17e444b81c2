package rtnl

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func linkMessage(name string) []byte {
	return append(nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize(), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)).Serialize()...)
}

func routeMessage(protocol uint8) []byte {
	m := nl.NewRtMsg()
	m.Protocol = protocol
	return m.Serialize()
}

func TestInterest(t *testing.T) {
	ours := Interest{Links: "tombolo", Protocol: 147}
	tests := []struct {
		name string
		in   Interest
		kind uint16
		data []byte
		want bool
	}{
		{"a link of ours", ours, unix.RTM_NEWLINK, linkMessage("tombolo0"), true},
		{"another link", ours, unix.RTM_DELLINK, linkMessage("eth0"), false},
		{"a link without a name", ours, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize(), true},
		{"a link that is cut short", ours, unix.RTM_NEWLINK, []byte{1}, false},
		{"any link", Interest{}, unix.RTM_NEWLINK, linkMessage("eth0"), true},
		{"a route of ours", ours, unix.RTM_DELROUTE, routeMessage(147), true},
		{"another route", ours, unix.RTM_NEWROUTE, routeMessage(148), false},
		{"a route that is cut short", ours, unix.RTM_NEWROUTE, []byte{1}, false},
		{"any route", Interest{}, unix.RTM_NEWROUTE, routeMessage(148), true},
		{"a rule", ours, unix.RTM_NEWRULE, nil, true},
		{"an address", ours, unix.RTM_DELADDR, nil, true},
		{"a neighbour", Interest{}, unix.RTM_NEWNEIGH, nil, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.in.selects(tc.kind, tc.data); got != tc.want {
				t.Errorf("selected: %t, want %t", got, tc.want)
			}
		})
	}
}
