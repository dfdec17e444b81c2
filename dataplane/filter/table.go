package filter

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strconv"

	"sigs.k8s.io/knftables"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// TableName is the name of the table, of the family inet.
const TableName = "tombolo"

// Table is the nftables table of the caller's network namespace. The zero Table is ready to use. It
// is not safe for concurrent use.
type Table struct {
	nft knftables.Interface

	// known is what Update last gave the kernel, nil if that is not sure.
	known *State
	// print is the fingerprint of the table, by seed, when it was last sure to be right; nil if it is
	// not sure.
	print *uint64
	seed  maphash.Seed
	seen  nft.Seen
}

// open looks for nft when it is first needed, and again after a failure.
func (t *Table) open() error {
	if t.nft != nil {
		return nil
	}
	nft, err := knftables.New(knftables.InetFamily, TableName)
	if err != nil {
		return fmt.Errorf("starting nftables (the program nft and the kernel module nf_tables are needed): %w", err)
	}
	t.nft = nft
	return nil
}

// Prepare looks for the program nft, which costs two runs of it, so that the first Update need not.
// If there is no nft, the call that needs it says so.
func (t *Table) Prepare() { _ = t.open() }

// Read returns what the kernel has; the zero State if there is no table.
func (t *Table) Read(ctx context.Context) (State, error) {
	if exists, err := nft.TableExists(TableName); err != nil || !exists {
		return State{}, err
	}
	if err := t.open(); err != nil {
		return State{}, err
	}
	chains, err := t.nft.List(ctx, "chains")
	if knftables.IsNotFound(err) { // gone meanwhile
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("listing chains of table %s: %w", TableName, err)
	}
	// The hooks cannot be read back. They are fixed, and the names say which chain is which.
	layout := Config{}.chains()
	comments := map[string][]string{}
	for _, c := range layout {
		if !slices.Contains(chains, c.name) {
			return State{Digest: "incomplete"}, nil
		}
		rules, err := t.nft.ListRules(ctx, c.name)
		if err != nil {
			return State{}, fmt.Errorf("listing rules of chain %s: %w", c.name, err)
		}
		for _, rule := range rules {
			text := ""
			if rule.Comment != nil {
				text = *rule.Comment
			}
			comments[c.name] = append(comments[c.name], text)
		}
	}
	state := State{Digest: digest(layout, comments)}
	return t.readElements(ctx, state)
}

func (t *Table) readElements(ctx context.Context, state State) (State, error) {
	for _, f := range families {
		served, err := t.nft.ListElements(ctx, "set", "served"+f.suffix)
		if err != nil {
			return incomplete(err, "listing served ports")
		}
		for _, e := range served {
			port, err := parsePort(e.Key)
			if err != nil {
				return State{}, err
			}
			state.Served = append(state.Served, port)
		}
		hairpin, err := t.nft.ListElements(ctx, "set", "hairpin"+f.suffix)
		if err != nil {
			return incomplete(err, "listing endpoints on this node")
		}
		for _, e := range hairpin {
			address, err := netip.ParseAddr(e.Key[0])
			if err != nil {
				return State{}, fmt.Errorf("reading an endpoint on this node: %w", err)
			}
			state.Hairpin = append(state.Hairpin, address)
		}
	}
	return state, nil
}

// incomplete is the State of a table that lacks a set.
func incomplete(err error, doing string) (State, error) {
	if knftables.IsNotFound(err) {
		return State{Digest: "incomplete"}, nil
	}
	return State{}, fmt.Errorf("%s: %w", doing, err)
}

func parsePort(key []string) (serviceport.Key, error) {
	if len(key) != 3 {
		return serviceport.Key{}, fmt.Errorf("reading a served port: %v has %d parts, want 3", key, len(key))
	}
	address, err := netip.ParseAddr(key[0])
	protocol, errProtocol := parseProtocol(key[1])
	number, errPort := strconv.ParseUint(key[2], 10, 16)
	if err := errors.Join(err, errProtocol, errPort); err != nil {
		return serviceport.Key{}, fmt.Errorf("reading a served port: %w", err)
	}
	return serviceport.Key{Address: address, Protocol: protocol, Port: uint16(number)}, nil
}

// parseProtocol reads the name of a protocol, or the number that nft prints where there is no
// /etc/protocols, as in a container.
func parseProtocol(text string) (serviceport.Protocol, error) {
	p := serviceport.ParseProtocol(text)
	if number, err := strconv.ParseUint(text, 10, 8); err == nil {
		p = serviceport.Protocol(number)
	}
	if !p.Known() {
		return 0, fmt.Errorf("protocol %q: want tcp, udp or sctp", text)
	}
	return p, nil
}

// Apply does what the Change says, all of it or nothing. It writes elements by netlink, in a
// fraction of the time that nft takes. It replaces a table by nft, in one transaction. A fresh
// table first gets its elements, and then the chains that look at them.
func (t *Table) Apply(ctx context.Context, change Change) (Change, error) {
	if change.Empty() {
		return change, nil
	}
	if !change.Replace {
		if err := t.applyElements(change); err != nil {
			return Change{}, fmt.Errorf("changing elements of table %s: %w", TableName, err)
		}
		return change, nil
	}
	if err := t.open(); err != nil {
		return Change{}, err
	}
	if change.Fresh {
		return change, t.create(ctx, change.Want)
	}
	return change, t.run(ctx, func(tx *knftables.Transaction) { replace(tx, change.Want) })
}

func (t *Table) run(ctx context.Context, fill func(tx *knftables.Transaction)) error {
	tx := t.nft.NewTransaction()
	fill(tx)
	if err := t.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("changing table %s: %w", TableName, err)
	}
	t.seen.Wrote()
	return nil
}

// create makes a table where there is none.
func (t *Table) create(ctx context.Context, want Config) error {
	if err := t.run(ctx, addSets); err != nil {
		return err
	}
	if err := t.applyElements(Change{AddServed: unique(want.Served, serviceport.Key.Compare), AddHairpin: unique(want.Hairpin, netip.Addr.Compare)}); err != nil {
		return fmt.Errorf("filling table %s: %w", TableName, err)
	}
	return t.run(ctx, func(tx *knftables.Transaction) { addChains(tx, want) })
}

// Sync makes the table do what want says and returns what it changed. It is safe to repeat.
func (t *Table) Sync(ctx context.Context, want Config) (Change, error) {
	have, err := t.Read(ctx)
	if err != nil {
		return Change{}, err
	}
	return t.Apply(ctx, Diff(have, want))
}

func replace(tx *knftables.Transaction, want Config) {
	table := &knftables.Table{}
	tx.Add(table) // so that there is one to delete
	tx.Delete(table)
	if want.empty() {
		return
	}
	addSets(tx)
	addChains(tx, want)
	for _, p := range unique(want.Served, serviceport.Key.Compare) {
		tx.Add(servedElement(p))
	}
	for _, a := range unique(want.Hairpin, netip.Addr.Compare) {
		tx.Add(hairpinElement(a))
	}
}

// addSets adds a table with its sets.
func addSets(tx *knftables.Transaction) {
	tx.Add(&knftables.Table{})
	for _, f := range families {
		tx.Add(&knftables.Set{Name: "served" + f.suffix, Type: f.addressType + " . inet_proto . inet_service"})
		tx.Add(&knftables.Set{Name: "hairpin" + f.suffix, Type: f.addressType + " . " + f.addressType})
	}
}

func addChains(tx *knftables.Transaction, want Config) {
	chains := want.chains()
	for _, c := range chains {
		tx.Add(c.object())
	}
	for _, c := range chains {
		for _, rule := range c.rules {
			tx.Add(&knftables.Rule{Chain: c.name, Rule: rule, Comment: knftables.PtrTo(comment(rule))})
		}
	}
}

func (c chain) object() *knftables.Chain {
	object := &knftables.Chain{Name: c.name}
	if c.hook != "" {
		object.Type = knftables.PtrTo(knftables.BaseChainType(c.kind))
		object.Hook = knftables.PtrTo(knftables.BaseChainHook(c.hook))
		object.Priority = knftables.PtrTo(knftables.BaseChainPriority(c.priority))
	}
	return object
}

func servedElement(p serviceport.Key) *knftables.Element {
	return &knftables.Element{Set: servedSet(p), Key: []string{p.Address.String(), p.Protocol.NFT(), strconv.Itoa(int(p.Port))}}
}

func servedSet(p serviceport.Key) string { return "served" + familyOf(p.Address).suffix }

func hairpinElement(a netip.Addr) *knftables.Element {
	return &knftables.Element{Set: hairpinSet(a), Key: []string{a.String(), a.String()}}
}

func hairpinSet(a netip.Addr) string { return "hairpin" + familyOf(a).suffix }
