package firewall

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// iptablesTable is the table in which iptables filters; its chains are named as the hooks, in
// capitals. The program iptables-nft keeps it in nftables.
const iptablesTable = "filter"

func (f family) number() uint8 {
	if f.is4 {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

// readAccepts returns the rules of ours, by their comments, in each chain of iptables-nft that is
// there.
func (t *Table) readAccepts() (map[place][]admitted, error) {
	have := map[place][]admitted{}
	for _, f := range families {
		chains, err := nft.AllChains(f.number())
		if err != nil {
			return nil, err
		}
		for _, c := range chains {
			if c.Table != iptablesTable || c.Hook == "" || c.Name != strings.ToUpper(c.Hook) {
				continue
			}
			rules, err := nft.Rules(f.number(), iptablesTable, c.Name)
			if err != nil {
				return nil, err
			}
			p := place{f, c.Name}
			have[p] = nil
			for _, r := range rules {
				if owner, _, ok := strings.Cut(r.Comment, " "); ok && owner == t.name {
					have[p] = append(have[p], admitted{r.Comment, r.Handle})
				}
			}
		}
	}
	return have, nil
}

// applyAccepts writes the rules in one transaction for each chain, unless another process has deleted
// one that is to go.
func (t *Table) applyAccepts(changes []admission) error {
	for _, c := range changes {
		err := t.writeAccepts(c)
		if errors.Is(err, unix.ENOENT) {
			err = t.writeOneByOne(c)
		}
		if err != nil {
			return fmt.Errorf("changing our rules in %s of %s: %w", c.place.chain, c.place.family.iptables, err)
		}
	}
	return nil
}

// writeOneByOne deletes each rule in a transaction of its own. What is gone already counts as deleted.
func (t *Table) writeOneByOne(c admission) error {
	errs := []error{t.writeAccepts(admission{place: c.place, add: c.add})}
	for _, r := range c.gone {
		if err := t.writeAccepts(admission{place: c.place, gone: []admitted{r}}); !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// writeAccepts is one transaction; none if there is nothing to write.
func (t *Table) writeAccepts(c admission) error {
	batch := nft.NewBatchOf(c.place.family.number(), iptablesTable)
	for _, a := range c.add {
		rule := nft.NewRule{Chain: a.chain, Comment: a.comment(t.name), Fill: a.expressions, First: !a.last}
		if a.port != 0 {
			rule.Protocol = unix.IPPROTO_UDP
		}
		batch.AddRule(rule)
	}
	for _, r := range c.gone {
		batch.DeleteRule(c.place.chain, r.handle)
	}
	if batch.Size() == 0 {
		return nil
	}
	if err := batch.Commit(); err != nil {
		return err
	}
	t.seen.Wrote()
	return nil
}

// expressions appends the rule's, in the form that iptables-nft itself writes: it refuses to list a
// table that has others.
func (a accept) expressions(b []byte) []byte {
	for _, device := range []struct {
		name string
		key  uint32
	}{{a.in, unix.NFT_META_IIFNAME}, {a.out, unix.NFT_META_OIFNAME}} {
		if device.name != "" { // without the zero byte at its end it is the beginning of a name
			b = nft.AppendEqual(nft.AppendMeta(b, device.key, nft.Register), nft.Register, []byte(device.name)...)
		}
	}
	protocol, source, destination := uint32(9), uint32(12), uint32(16) // offsets in struct iphdr
	if !a.family.is4 {
		protocol, source, destination = 6, 8, 24 // in struct ip6_hdr
	}
	b = inPrefix(inPrefix(b, source, a.source), destination, a.destination)
	if a.port != 0 {
		b = nft.AppendPayload(b, unix.NFT_PAYLOAD_NETWORK_HEADER, protocol, 1, nft.Register)
		b = nft.AppendEqual(b, nft.Register, unix.IPPROTO_UDP)
		b = nft.AppendMatchUDP(b, a.port)
	}
	return nft.AppendAccept(b)
}

// inPrefix appends what compares an address in the header with a prefix; nothing if that is not
// valid.
func inPrefix(b []byte, offset uint32, p netip.Prefix) []byte {
	if !p.IsValid() {
		return b
	}
	size := p.Addr().BitLen() / 8
	b = nft.AppendPayload(b, unix.NFT_PAYLOAD_NETWORK_HEADER, offset, uint32(size), nft.Register)
	if !p.IsSingleIP() {
		b = nft.AppendMask(b, nft.Register, mask(p.Bits(), size))
	}
	return nft.AppendEqual(b, nft.Register, p.Masked().Addr().AsSlice()...)
}

// mask has that many bits set, at its beginning.
func mask(bits, size int) []byte {
	m := make([]byte, size)
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}
