package dataplane

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	mobyipvs "github.com/moby/ipvs"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// table is what a subject writes to, seen by readers that are not ours.
type table interface {
	// stamp changes when what serves that virtual IP does. It costs a netlink request.
	stamp(vip netip.Addr) (string, error)
	// await returns a function that waits until what serves that virtual IP differs from now, and
	// returns when that was.
	await(ctx context.Context, vip netip.Addr) (wait func() (time.Time, error), err error)
	// check is nil if the virtual IPs lead to those endpoints, and no other is there. It takes
	// long.
	check(ctx context.Context, vip func(index int) netip.Addr, all []service) error
}

// ipvsTable is read by moby/ipvs and ipvsadm.
type ipvsTable struct{ handle *mobyipvs.Handle }

func newIPVSTable(ctx context.Context) (*ipvsTable, error) {
	logrus.SetLevel(logrus.ErrorLevel) // it has no modprobe to run, and says so
	// The first question of all has the kernel look for the module, which is built in.
	if _, err := shell.Run(ctx, "", "ipvsadm", "-Ln"); err != nil {
		return nil, err
	}
	handle, err := mobyipvs.New("")
	if err != nil {
		return nil, fmt.Errorf("opening the IPVS table: %w", err)
	}
	return &ipvsTable{handle}, nil
}

func (t *ipvsTable) stamp(vip netip.Addr) (string, error) {
	destinations, err := t.handle.GetDestinations(&mobyipvs.Service{
		AddressFamily: unix.AF_INET, Protocol: unix.IPPROTO_TCP, Address: vip.AsSlice(), Port: servicePort})
	if errors.Is(err, unix.ESRCH) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the virtual service of %s: %w", vip, err)
	}
	var stamp strings.Builder
	for _, d := range destinations {
		fmt.Fprintf(&stamp, "%s*%d ", d.Address, d.Weight)
	}
	return stamp.String(), nil
}

// await asks again and again: IPVS tells nobody.
func (t *ipvsTable) await(ctx context.Context, vip netip.Addr) (wait func() (time.Time, error), err error) {
	before, err := t.stamp(vip)
	return func() (changed time.Time, err error) {
		err = unobtrusively()
		for now := before; err == nil && now == before; changed = time.Now() {
			now, err = t.stamp(vip)
			err = errors.Join(err, ctx.Err())
		}
		return changed, err
	}, err
}

func (t *ipvsTable) check(ctx context.Context, vip func(int) netip.Addr, all []service) error {
	var want []string
	for _, s := range all {
		address := netip.AddrPortFrom(vip(s.index), servicePort)
		want = append(want, fmt.Sprintf("-A -t %s", address))
		for _, e := range s.endpoints {
			want = append(want, fmt.Sprintf("-a -t %s -r %s -m -w 1", address, netip.AddrPortFrom(e, uint16(s.target))))
		}
	}
	text, err := shell.Run(ctx, "", "ipvsadm", "-Sn")
	if err != nil {
		return err
	}
	var have []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " -s ") // the scheduler and the flags
		have = append(have, line)
	}
	return compare(have, want)
}

// compare says what differs, of two lists in any order.
func compare(have, want []string) error {
	slices.Sort(have)
	have = slices.Compact(have) // several slots lead to one endpoint
	slices.Sort(want)
	missing, extra := without(want, have), without(have, want)
	if len(missing)+len(extra) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d are missing, as %q, and %d are too many, as %q",
		len(missing), len(want), first(missing), len(extra), first(extra))
}

// without are those of a that b lacks; both are sorted.
func without(a, b []string) (rest []string) {
	for _, x := range a {
		if _, found := slices.BinarySearch(b, x); !found {
			rest = append(rest, x)
		}
	}
	return rest
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// nftTable is read by its generation, and by nft.
type nftTable struct {
	// list is what prints the map of all virtual IPs.
	list []string
	// slots is true if that map holds the endpoints too, as tombolo's does.
	slots bool
	// sockets stay open: to close one keeps nftables waiting for a while after each transaction.
	sockets map[int]*nl.SocketHandle
	// events is a socket that the kernel tells of each transaction; 0 until it is opened.
	events int
}

// stamp is the generation of all tables: only the subject writes to them.
func (t *nftTable) stamp(netip.Addr) (string, error) {
	if t.sockets == nil {
		s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_NETFILTER)
		if err != nil {
			return "", fmt.Errorf("asking for the generation of nftables: %w", err)
		}
		t.sockets = map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: s}}
	}
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0)
	request.Sockets = t.sockets
	request.AddRawData([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0})
	answers, err := request.Execute(unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN)
	if err != nil {
		return "", fmt.Errorf("asking for the generation of nftables: %w", err)
	}
	for _, answer := range answers {
		attributes, err := nl.ParseRouteAttr(answer[4:])
		if err != nil {
			return "", fmt.Errorf("reading the generation of nftables: %w", err)
		}
		for _, a := range attributes {
			if a.Attr.Type == unix.NFTA_GEN_ID {
				return fmt.Sprint(binary.BigEndian.Uint32(a.Value)), nil
			}
		}
	}
	return "", errors.New("nftables reports no generation")
}

// listen opens the socket for events.
func (t *nftTable) listen() (err error) {
	if t.events != 0 {
		return nil
	}
	if t.events, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER); err == nil {
		err = errors.Join(
			unix.Bind(t.events, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)}),
			unix.SetsockoptTimeval(t.events, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}))
	}
	if err != nil {
		return fmt.Errorf("listening to what nftables tells: %w", err)
	}
	return nil
}

// await listens to the kernel: to ask again and again takes CPU from the subject, or gets none where
// others are busy. The first message comes when the transaction is done.
func (t *nftTable) await(ctx context.Context, _ netip.Addr) (wait func() (time.Time, error), err error) {
	if err := t.listen(); err != nil {
		return nil, err
	}
	message := make([]byte, 1) // cut short, as only its arrival counts
	for err == nil {
		_, _, err = unix.Recvfrom(t.events, message, unix.MSG_DONTWAIT)
	}
	return func() (time.Time, error) {
		for {
			switch _, _, err := unix.Recvfrom(t.events, message, 0); {
			case err == nil:
				return time.Now(), nil
			case ctx.Err() != nil:
				return time.Time{}, ctx.Err()
			case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
				return time.Time{}, fmt.Errorf("listening to what nftables tells: %w", err)
			}
		}
	}, nil
}

func (t *nftTable) check(ctx context.Context, vip func(int) netip.Addr, all []service) error {
	var want []string
	for _, s := range all {
		address := vip(s.index).String()
		if !t.slots {
			want = append(want, address)
			continue
		}
		for _, e := range s.endpoints {
			want = append(want, fmt.Sprintf("%s %s:%d", address, e, s.target))
		}
	}
	text, err := shell.Run(ctx, "", "nft", append([]string{"--numeric"}, t.list...)...)
	if err != nil {
		return err
	}
	var have []string
	for _, m := range element.FindAllStringSubmatch(text, -1) {
		if t.slots {
			have = append(have, fmt.Sprintf("%s %s:%s", m[1], m[2], m[3]))
		} else {
			have = append(have, m[1])
		}
	}
	return compare(have, want)
}

// element of a map that nft prints: "244.0.0.1 . tcp . 80 . 3 : 10.16.0.32 . 8080", or ": goto ..."
// in kube-proxy's.
var element = regexp.MustCompile(`([0-9.]+) \. (?:tcp|6) \. 80(?: \. (?:0x)?[0-9a-f]+)?\s*: (?:([0-9.]+) \. ([0-9]+)|goto)`)
