package firewall

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// Table is an nftables table of the family inet, in the caller's network namespace. It is not safe
// for concurrent use.
type Table struct {
	name string
	nft  knftables.Interface
	seen nft.Seen
	// right is the digest that the table had when seen was last sure, and sets what its sets held.
	right string
	sets  []Set
	// known is what the table was then; nil if that is not known, or there are rules of ours in
	// iptables.
	known *State
	judge Judge
}

// New returns the table of that name. It does not touch the kernel yet.
func New(name string) *Table { return &Table{name: name} }

// Read returns what the kernel has of the table, and of our rules in iptables.
func (t *Table) Read(context.Context) (State, error) {
	state, err := t.readTable()
	if err != nil {
		return State{}, err
	}
	state.admitted, err = t.readAccepts()
	return state, err
}

// readTable is the zero State if there is no table.
func (t *Table) readTable() (State, error) {
	exists, err := nft.TableExists(t.name)
	if err != nil || !exists {
		return State{}, err
	}
	state := State{Elements: map[string][]string{}}
	found := &state.found
	if found.counters, err = counterNames(t.name); err != nil {
		return State{}, err
	}
	sets, err := nft.Sets(t.name)
	if err != nil {
		return State{}, err
	}
	for _, s := range sets {
		found.sets = append(found.sets, s.Name)
		if s.Dynamic {
			continue
		}
		if state.Elements[s.Name], err = nft.Keys(t.name, s.Name); err != nil {
			return State{}, err
		}
	}
	chains, err := nft.Chains(t.name)
	if err != nil {
		return State{}, err
	}
	comments, err := nft.Comments(t.name)
	if err != nil {
		return State{}, err
	}
	for _, c := range chains {
		found.chains = append(found.chains, Chain{Name: c.Name, Type: c.Type, Hook: c.Hook, Priority: c.Priority, Rules: comments[c.Name]})
	}
	state.Digest = found.digest()
	return state, nil
}

func counterNames(table string) ([]string, error) {
	counters, err := nft.Counters(table)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(counters))
	for name := range counters {
		names = append(names, name)
	}
	return names, nil
}

// Apply does what the Change says: the table, all of it or nothing, and our rules in iptables. It
// tries both.
func (t *Table) Apply(ctx context.Context, change Change) (Change, error) {
	if err := errors.Join(t.applyTable(ctx, change), t.applyAccepts(change.admissions)); err != nil {
		return Change{}, err
	}
	return change, nil
}

// applyTable lets the table do at each moment what it did before, or what it should. A table without
// sets is made again in one transaction. One with sets keeps their elements: what is added comes
// before the rules that look for it, and what goes, after. If it is damaged, it first admits nothing.
func (t *Table) applyTable(ctx context.Context, change Change) error {
	want := change.Want.whole()
	switch add, gone := change.elements(); {
	case !change.Replace:
		return t.writeElements(append(add, gone...))
	case len(want.Sets) == 0:
		return t.run(ctx, func(tx *knftables.Transaction) { remake(tx, want) })
	case change.have.Digest == "":
		return errors.Join(t.run(ctx, func(tx *knftables.Transaction) { addObjects(tx, want) }), t.writeElements(add),
			t.run(ctx, func(tx *knftables.Transaction) { addChains(tx, want.Chains) }))
	case !sameNames(change.have.found.sets, setNames(want.Sets)):
		return errors.Join(t.run(ctx, func(tx *knftables.Transaction) { remake(tx, want) }), t.writeElements(allElements(want.Sets)))
	default:
		return errors.Join(t.writeElements(add), t.run(ctx, func(tx *knftables.Transaction) { rewrite(tx, change.have.found, want) }),
			t.writeElements(gone))
	}
}

// run makes a transaction by the program nft, which it looks for when it is first needed.
func (t *Table) run(ctx context.Context, fill func(*knftables.Transaction)) error {
	if t.nft == nil {
		program, err := knftables.New(knftables.InetFamily, t.name)
		if err != nil {
			return fmt.Errorf("starting nftables (the program nft and the kernel module nf_tables are needed): %w", err)
		}
		t.nft = program
	}
	tx := t.nft.NewTransaction()
	fill(tx)
	if err := t.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("changing table %s: %w", t.name, err)
	}
	t.seen.Wrote()
	return nil
}

// remake deletes the table and makes it as wanted, but for the elements of its sets.
func remake(tx *knftables.Transaction, want Config) {
	table := &knftables.Table{}
	tx.Add(table) // so that there is one to delete
	tx.Delete(table)
	if !want.empty() {
		addObjects(tx, want)
		addChains(tx, want.Chains)
	}
}

// rewrite makes the chains again, and leaves the sets and the counters that stay.
func rewrite(tx *knftables.Transaction, have contents, want Config) {
	for _, c := range have.chains {
		tx.Flush(&knftables.Chain{Name: c.Name})
	}
	for _, c := range have.chains {
		tx.Delete(&knftables.Chain{Name: c.Name})
	}
	for _, name := range have.counters {
		if !slices.Contains(want.Counters, name) {
			tx.Delete(&knftables.Counter{Name: name})
		}
	}
	addObjects(tx, want)
	addChains(tx, want.Chains)
}

// addObjects adds the table with its counters and sets.
func addObjects(tx *knftables.Transaction, want Config) {
	tx.Add(&knftables.Table{})
	for _, name := range want.Counters {
		tx.Add(&knftables.Counter{Name: name})
	}
	for _, s := range want.Sets {
		tx.Add(s.object())
	}
}

func addChains(tx *knftables.Transaction, chains []Chain) {
	for _, c := range chains {
		object := &knftables.Chain{Name: c.Name}
		if c.Hook != "" {
			object.Type = knftables.PtrTo(knftables.BaseChainType(c.Type))
			object.Hook = knftables.PtrTo(knftables.BaseChainHook(c.Hook))
			object.Priority = knftables.PtrTo(knftables.BaseChainPriority(fmt.Sprint(c.Priority)))
		}
		tx.Add(object)
	}
	for _, c := range chains {
		for _, rule := range c.Rules {
			tx.Add(&knftables.Rule{Chain: c.Name, Rule: rule, Comment: knftables.PtrTo(comment(rule))})
		}
	}
}

// Sync makes the table hold what want says and returns what it changed. It is safe to repeat, and
// costs one netlink request as long as nobody writes to nftables.
func (t *Table) Sync(ctx context.Context, want Config) (Change, error) {
	begin, err := t.seen.Mark()
	if err != nil {
		return Change{}, err
	}
	wanted := want.Digest()
	if t.right == wanted && sameSets(t.sets, want.Sets) && t.seen.WasRight(begin) {
		return Change{}, nil
	}
	have := t.known
	if have == nil || !t.seen.WasRight(begin) || len(want.Passages) > 0 {
		read, err := t.Read(ctx)
		if err != nil {
			return Change{}, err
		}
		have = &read
	}
	t.seen.Forget()
	t.known = nil
	change, err := t.Apply(ctx, Diff(t.name, *have, want))
	if err != nil {
		return change, err
	}
	if t.seen.Settle(begin) {
		t.right, t.sets = wanted, want.Sets
		if len(want.Passages) == 0 {
			t.known = want.state()
		}
	}
	return change, nil
}

// Touched reports whether somebody has written to nftables since the last Sync, or it failed. It
// costs one netlink request and next to no memory.
func (t *Table) Touched() bool {
	now, err := t.seen.Mark()
	return err != nil || !t.seen.WasRight(now)
}

// Blocked returns an error for each passage of the Config whose packets others' chains drop, as far
// as can be told since the last call: ErrBlocked, or another one if a NetworkPolicy may do it. It costs one netlink request while nothing is
// dropped. It is to be called every few seconds.
func (t *Table) Blocked(now time.Time, want Config) (errs []error, err error) {
	counters, err := nft.Counters(t.name)
	if err != nil {
		return nil, err
	}
	for _, p := range t.judge.Blocked(now, counters, want.Passages) {
		suspects, err := suspectsIn(p.Hook)
		if err != nil {
			return nil, err
		}
		if p.Admit != AdmitNever { // there it is admitted
			suspects = slices.DeleteFunc(suspects, func(s suspect) bool { return s.admitted })
		}
		errs = append(errs, p.blockedError(suspects))
	}
	return errs, nil
}
