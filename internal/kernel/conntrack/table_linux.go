package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Of include/uapi/linux/netfilter/nfnetlink_conntrack.h, what package nl does not have.
const (
	ctaFilter          = 25 // CTA_FILTER, since Linux 5.8; older kernels list everything
	ctaFilterOrigFlags = 1
	// filterIPDst, filterProtocol and filterDstPort are of net/netfilter/nf_conntrack_netlink.c.
	filterIPDst, filterProtocol, filterDstPort = 1 << 1, 1 << 3, 1 << 5

	seenReply = 1 << 1 // IPS_SEEN_REPLY
)

// header is the size of struct nfgenmsg, which comes before the attributes.
const header = 4

// Conn asks the kernel about the network namespace that it was opened in, from whatever thread. The
// zero Conn asks about the namespace of its caller. It is not safe for concurrent use.
type Conn struct {
	sockets map[int]*nl.SocketHandle
}

// Open returns a Conn for the caller's network namespace.
func Open() (*Conn, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("opening connection tracking: %w", err)
	}
	if err := errors.Join(s.SetSendTimeout(&nl.SocketTimeoutTv), s.SetReceiveTimeout(&nl.SocketTimeoutTv)); err != nil {
		s.Close()
		return nil, fmt.Errorf("opening connection tracking: %w", err)
	}
	return &Conn{sockets: map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: s}}}, nil
}

// Close closes the socket.
func (c *Conn) Close() {
	for _, s := range c.sockets {
		s.Close()
	}
}

// deleteEntries deletes the entries of one family that match; of one port if there is a key.
func (c *Conn) deleteEntries(ctx context.Context, family uint8, key *serviceport.Key, match func(entry) bool) (deleted int, err error) {
	err = rtnl.Repeat(ctx, func() error {
		found, err := c.list(family, key, match)
		// What a listing that was interrupted has found goes all the same.
		n, errDelete := c.remove(family, found)
		deleted += n
		return errors.Join(err, errDelete)
	})
	if err != nil {
		return deleted, fmt.Errorf("deleting conntrack entries: %w", err)
	}
	return deleted, nil
}

// list returns the attributes of the entries that match.
func (c *Conn) list(family uint8, key *serviceport.Key, match func(entry) bool) (found [][]byte, err error) {
	request := c.newRequest(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP, family)
	if key != nil {
		request.AddRawData(filterOf(*key))
	}
	err = request.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(message []byte) bool {
		if len(message) < header {
			return true
		}
		if e, ok := parse(message[header:]); ok && match(e) {
			found = append(found, slices.Clone(message[header:]))
		}
		return true
	})
	return found, err
}

// remove deletes the entries with those attributes, and tries all. The attributes have the ID of
// the entry, so that a new flow of the same client stays.
func (c *Conn) remove(family uint8, entries [][]byte) (deleted int, err error) {
	var errs []error
	for _, attributes := range entries {
		request := c.newRequest(nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK, family)
		request.AddRawData(attributes)
		if _, err := request.Execute(unix.NETLINK_NETFILTER, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
			continue
		}
		deleted++
	}
	return deleted, errors.Join(errs...)
}

func (c *Conn) newRequest(operation, flags int, family uint8) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|operation, flags)
	request.Sockets = c.sockets
	request.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	return request
}

// filterOf asks for the flows that clients began to that port. With IPv6 it asks for those to the port
// of any address: newer kernels leave out just the flows to the address that is given. Linux 6.18 and
// 7.2 do (ctnetlink_filter_match_tuple takes ipv6_addr_cmp for ipv6_addr_equal).
func filterOf(key serviceport.Key) []byte {
	kind, flags := uint16(nl.CTA_IP_V4_DST), uint32(filterIPDst|filterProtocol|filterDstPort)
	if key.Address.Is6() {
		kind, flags = nl.CTA_IP_V6_DST, filterProtocol|filterDstPort
	}
	b := nft.AppendNest(nil, nl.CTA_TUPLE_ORIG, func(b []byte) []byte {
		b = nft.AppendNest(b, nl.CTA_TUPLE_IP, func(b []byte) []byte {
			return nft.AppendAttribute(b, kind, key.Address.AsSlice()...)
		})
		return nft.AppendNest(b, nl.CTA_TUPLE_PROTO, func(b []byte) []byte {
			b = nft.AppendAttribute(b, nl.CTA_PROTO_NUM, uint8(key.Protocol))
			return nft.AppendAttribute(b, nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, key.Port)...)
		})
	})
	return nft.AppendNest(b, ctaFilter, func(b []byte) []byte {
		return nft.AppendAttribute(b, ctaFilterOrigFlags, binary.NativeEndian.AppendUint32(nil, flags)...)
	})
}

// parse reads an entry's attributes; false if it has no addresses.
func parse(attributes []byte) (e entry, ok bool) {
	to, okTo := address(attributes, nl.CTA_TUPLE_ORIG, nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST)
	by, okBy := address(attributes, nl.CTA_TUPLE_REPLY, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC)
	protocol := nft.Attribute(attributes, nl.CTA_TUPLE_ORIG, nl.CTA_TUPLE_PROTO, nl.CTA_PROTO_NUM)
	if !okTo || !okBy || len(protocol) != 1 {
		return entry{}, false
	}
	e.client, _ = address(attributes, nl.CTA_TUPLE_ORIG, nl.CTA_IP_V4_SRC, nl.CTA_IP_V6_SRC)
	e.source, _ = address(attributes, nl.CTA_TUPLE_REPLY, nl.CTA_IP_V4_DST, nl.CTA_IP_V6_DST)
	e.flow = Flow{
		Key:      serviceport.Key{Address: to, Protocol: serviceport.Protocol(protocol[0]), Port: port(attributes, nl.CTA_TUPLE_ORIG, nl.CTA_PROTO_DST_PORT)},
		Endpoint: netip.AddrPortFrom(by, port(attributes, nl.CTA_TUPLE_REPLY, nl.CTA_PROTO_SRC_PORT)),
	}
	if status := nft.Attribute(attributes, nl.CTA_STATUS); len(status) == 4 {
		e.answered = binary.BigEndian.Uint32(status)&seenReply != 0
	}
	return e, true
}

// address is the one of either kind in a tuple.
func address(attributes []byte, tuple uint16, kinds ...uint16) (netip.Addr, bool) {
	for _, kind := range kinds {
		if a, ok := netip.AddrFromSlice(nft.Attribute(attributes, tuple, nl.CTA_TUPLE_IP, kind)); ok {
			return a.Unmap(), true
		}
	}
	return netip.Addr{}, false
}

// port is zero where the protocol has none.
func port(attributes []byte, tuple, kind uint16) uint16 {
	if value := nft.Attribute(attributes, tuple, nl.CTA_TUPLE_PROTO, kind); len(value) == 2 {
		return binary.BigEndian.Uint16(value)
	}
	return 0
}
