package nftables

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// chunk is how many elements one transaction writes: 1.2 MB for IPv6. The kernel keeps a
// transaction in one piece of memory, and checks all verdicts of the table after each one that adds
// a verdict. A service is never split.
const chunk = 16384

// Apply does what the Change says: first what nft has to write, in one transaction, then the other
// chains and the elements, in one or, where there are many, in as few as there is room for, so that
// each service changes at once, then what is no longer used. It returns what was applied.
func (t *Table) Apply(ctx context.Context, change Change) (Change, error) {
	if change.Empty() {
		return change, nil
	}
	applied := Change{Counters: change.Counters}
	if err := t.runNFT(ctx, change); err != nil {
		return applied, err
	}
	applied.Delete, applied.Replace, applied.Create = change.Delete, change.Replace, change.Create
	chains := slices.DeleteFunc(slices.Clone(change.Chains), func(name string) bool { return !byNetlink(name) })
	services := change.Services
	if change.Replace {
		chains = slices.DeleteFunc(chains, inNFT)
		services, applied.Services = nil, services
	}
	for part := range groups(services) {
		if err := errors.Join(ctx.Err(), t.commit(chains, part)); err != nil {
			return applied, err
		}
		chains = nil
		applied.Services = append(applied.Services, part...)
	}
	applied.Chains = change.Chains
	if err := t.forget(ctx, change.Forget); err != nil {
		return applied, err
	}
	applied.Forget = change.Forget
	if err := t.deleteChains(ctx, change.DeleteChains); err != nil {
		return applied, err
	}
	applied.DeleteChains = change.DeleteChains
	return applied, nil
}

// runNFT makes or deletes the table, and writes the chains that need nft.
func (t *Table) runNFT(ctx context.Context, change Change) error {
	chains := slices.Clone(change.Chains)
	if !change.Replace {
		chains = slices.DeleteFunc(chains, byNetlink)
	}
	if !change.Delete && !change.Replace && !change.Create && len(chains) == 0 {
		return nil
	}
	if err := t.open(); err != nil {
		return err
	}
	tx := t.nft.NewTransaction()
	table := &knftables.Table{}
	if change.Delete || change.Replace {
		tx.Add(table) // so that there is one to delete
		tx.Delete(table)
	}
	if change.Create || change.Replace {
		tx.Add(table)
		for _, m := range mappings(change.Counters) {
			tx.Add(m.object())
		}
	}
	writeChains(tx, chains)
	if change.Replace {
		writeElements(tx, change.Services)
	}
	if err := t.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("changing table %s: %w", TableName, explain(err))
	}
	t.seen.Wrote()
	return nil
}

func (m mapping) object() *knftables.Map {
	object := &knftables.Map{Name: m.name}
	text, byExpression := m.declaration()
	if byExpression {
		object.TypeOf = text
	} else {
		object.Type = text
	}
	if m.counter {
		object.Type += " ; counter" // knftables has no field for it
	}
	if m.dynamic {
		object.Flags = []knftables.SetFlag{knftables.DynamicFlag, knftables.TimeoutFlag}
		object.Size = knftables.PtrTo[uint64](MaxAffinities)
	}
	return object
}

// writeChains replaces the chains, or makes them.
func writeChains(tx *knftables.Transaction, names []string) {
	for _, name := range names {
		c, _ := chainFor(name)
		bare := &knftables.Chain{Name: c.name}
		tx.Add(bare)
		tx.Flush(bare)
		if c.hook == "" {
			continue
		}
		// What a base chain hooks into cannot be changed.
		tx.Delete(bare)
		tx.Add(&knftables.Chain{Name: c.name,
			Type: knftables.PtrTo(knftables.BaseChainType(c.kind)), Hook: knftables.PtrTo(knftables.BaseChainHook(c.hook)),
			Priority: knftables.PtrTo(knftables.BaseChainPriority(strconv.Itoa(c.priority)))})
	}
	for _, name := range names {
		c, _ := chainFor(name)
		for _, rule := range c.rules {
			if !inNFT(name) {
				break
			}
			tx.Add(&knftables.Rule{Chain: c.name, Rule: rule, Comment: knftables.PtrTo(comment(rule))})
		}
	}
}

// writeElements adds all elements by nft, which takes ten times as long as netlink: only for what
// must be in one transaction with chains.
func writeElements(tx *knftables.Transaction, services []ServiceChange) {
	for _, s := range services {
		for add, e := range s.elements() {
			if add {
				tx.Add(e.object(s.Key))
			}
		}
	}
}

// object of an element of that service.
func (e element) object(key Key) *knftables.Element {
	object := &knftables.Element{Map: e.set, Key: []string{key.Address.String(), key.Protocol.NFT(), strconv.Itoa(int(key.Port))}}
	f := familyOf(key.Address)
	if e.chain != "" {
		object.Value = []string{"goto " + e.chain}
		return object
	}
	endpoint, _ := parseEndpoint(e.value, f)
	object.Key = append(object.Key, strconv.Itoa(slotOf(e.key)))
	object.Value = []string{endpoint.Addr().String(), strconv.Itoa(int(endpoint.Port()))}
	return object
}

// inNFT reports whether nft can write the chain's rules together with the maps that they use.
func inNFT(name string) bool { return !strings.HasPrefix(name, rememberChain+"6-") }

// groups are the services by transaction; at least one, which may be empty.
func groups(services []ServiceChange) func(yield func([]ServiceChange) bool) {
	return func(yield func([]ServiceChange) bool) {
		begin, size := 0, 0
		for i, s := range services {
			n := len(s.Have.Slots) + len(s.Want.Slots) + 6
			if size > 0 && size+n > chunk {
				if !yield(services[begin:i]) {
					return
				}
				begin, size = i, 0
			}
			size += n
		}
		yield(services[begin:])
	}
}

// commit writes those chains and services in one transaction.
func (t *Table) commit(chains []string, services []ServiceChange) error {
	type message struct {
		add bool
		set string
	}
	byMessage := map[message][]element{}
	for _, s := range services {
		for add, e := range s.elements() {
			m := message{add, e.set}
			byMessage[m] = append(byMessage[m], e)
		}
	}
	batch := nft.NewBatch(TableName)
	for _, name := range chains {
		appendChain(batch, name)
	}
	for _, add := range []bool{false, true} { // a changed element goes, and comes again
		for _, m := range mappings(false) {
			for _, e := range byMessage[message{add, m.name}] {
				if add {
					batch.Add(e.set, e.appendTo)
				} else {
					batch.Delete(e.set, e.appendKeyTo)
				}
			}
		}
	}
	if batch.Size() == 0 {
		return nil
	}
	if err := t.conn.Commit(batch); err != nil {
		return fmt.Errorf("writing %d chains and %d services of table %s: %w", len(chains), len(services), TableName, explain(err))
	}
	t.seen.Wrote()
	return nil
}

func (e element) appendKeyTo(b []byte) []byte {
	return nft.AppendElementKey(b, e.key)
}

func (e element) appendTo(b []byte) []byte {
	return nft.AppendNest(e.appendKeyTo(b), unix.NFTA_SET_ELEM_DATA, func(b []byte) []byte {
		if e.chain == "" {
			return nft.AppendAttribute(b, unix.NFTA_DATA_VALUE, e.value...)
		}
		return nft.AppendNest(b, unix.NFTA_DATA_VERDICT, func(b []byte) []byte {
			code := int32(unix.NFT_GOTO)
			b = nft.AppendAttribute(b, unix.NFTA_VERDICT_CODE, byte(code>>24), byte(code>>16), byte(code>>8), byte(code))
			return nft.AppendText(b, unix.NFTA_VERDICT_CHAIN, e.chain)
		})
	})
}

// forget deletes the affinity of those clients. An affinity that has expired meanwhile counts as
// deleted.
func (t *Table) forget(ctx context.Context, clients []Client) error {
	for part := range slices.Chunk(clients, chunk) {
		err := t.deleteAffinity(part)
		for i := 0; errors.Is(err, unix.ENOENT) && i < len(part); i++ {
			if e := errors.Join(ctx.Err(), t.deleteAffinity(part[i:i+1])); e != nil && !errors.Is(e, unix.ENOENT) {
				return e
			}
			if i == len(part)-1 {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("deleting the affinity of %d clients: %w", len(part), explain(err))
		}
	}
	return nil
}

func (t *Table) deleteAffinity(clients []Client) error {
	batch := nft.NewBatch(TableName)
	for _, client := range clients {
		e := client.element()
		batch.Delete(e.set, e.appendKeyTo)
	}
	err := t.conn.Commit(batch)
	if err == nil {
		t.seen.Wrote()
	}
	return err
}

func (t *Table) deleteChains(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := t.open(); err != nil {
		return err
	}
	tx := t.nft.NewTransaction()
	for _, name := range names {
		tx.Flush(&knftables.Chain{Name: name})
	}
	for _, name := range names {
		tx.Delete(&knftables.Chain{Name: name})
	}
	if err := t.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("deleting chains of table %s: %w", TableName, explain(err))
	}
	t.seen.Wrote()
	return nil
}

// readAffinity is which endpoints the clients of one family last got.
func readAffinity(f family) (map[Client]netip.AddrPort, error) {
	state := State{Maps: map[string]string{}, Affinity: map[Client]netip.AddrPort{}}
	return state.Affinity, state.readElements(mapping{name: "affinity" + f.suffix})
}
