package firewall

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/knftables"
)

// applyTable lets the table do at each moment what it did before, or what it should. A table without
// sets is made again in one transaction, and one in which another version's set has another kind of
// keys. Otherwise sets keep their elements: what is added comes before the rules that look for it,
// and what goes, after. If a step fails the next ones are tried: rules that lack elements admit
// less.
func (t *Table) applyTable(ctx context.Context, change Change) error {
	want, have := change.Want.whole(), change.have.found
	add, gone := change.elements()
	switch {
	case !change.Replace:
		return t.writeElements(append(add, gone...))
	case len(want.Sets) == 0:
		return t.run(ctx, func(tx *knftables.Transaction) { remake(tx, want) })
	case have.clashes(want.Sets):
		return errors.Join(t.run(ctx, func(tx *knftables.Transaction) { remake(tx, want) }), t.writeElements(diffSets(nil, want.Sets)))
	}
	var errSets error
	if have.lacks(want.Sets) {
		errSets = t.run(ctx, func(tx *knftables.Transaction) { addObjects(tx, want) })
	}
	return errors.Join(errSets, t.writeElements(add),
		t.run(ctx, func(tx *knftables.Transaction) { rewrite(tx, have, want) }), t.writeElements(gone))
}

// clashes tells whether a set has another kind of keys than wanted.
func (c contents) clashes(want []Set) bool {
	return slices.ContainsFunc(want, func(s Set) bool { size, ok := c.sets[s.Name]; return ok && size != s.keySize() })
}

// lacks tells whether a set is not there.
func (c contents) lacks(want []Set) bool {
	return slices.ContainsFunc(want, func(s Set) bool { _, ok := c.sets[s.Name]; return !ok })
}

// open looks for the program nft when it is first needed, and again after a failure.
func (t *Table) open() error {
	if t.nft != nil {
		return nil
	}
	program, err := knftables.New(knftables.InetFamily, t.name)
	if err != nil {
		return fmt.Errorf("starting nftables (the program nft and the kernel module nf_tables are needed): %w", err)
	}
	t.nft = program
	return nil
}

// run makes a transaction by the program nft.
func (t *Table) run(ctx context.Context, fill func(*knftables.Transaction)) error {
	if err := t.open(); err != nil {
		return err
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
	wanted := keySizes(want.Sets)
	for _, name := range slices.Sorted(maps.Keys(have.sets)) {
		if _, stays := wanted[name]; !stays {
			tx.Delete(&knftables.Set{Name: name})
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
