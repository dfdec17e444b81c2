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
	// right is the digest that the table had when seen was last sure.
	right string
	judge Judge
}

// New returns the table of that name. It does not touch the kernel yet.
func New(name string) *Table { return &Table{name: name} }

// Read returns what the kernel has of the table, and of our rules in iptables.
func (t *Table) Read(context.Context) (State, error) {
	digest, err := t.readDigest()
	if err != nil {
		return State{}, err
	}
	accepts, err := t.readAccepts()
	return State{Digest: digest, admitted: accepts}, err
}

// readDigest is empty if there is no table.
func (t *Table) readDigest() (string, error) {
	exists, err := nft.TableExists(t.name)
	if err != nil || !exists {
		return "", err
	}
	var found contents
	if found.counters, err = counterNames(t.name); err != nil {
		return "", err
	}
	chains, err := nft.Chains(t.name)
	if err != nil {
		return "", err
	}
	comments, err := nft.Comments(t.name)
	if err != nil {
		return "", err
	}
	for _, c := range chains {
		found.chains = append(found.chains, Chain{Name: c.Name, Type: c.Type, Hook: c.Hook, Priority: c.Priority, Rules: comments[c.Name]})
	}
	return found.digest(), nil
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
	var err error
	if change.Replace {
		err = t.replace(ctx, change.Want)
	}
	if err := errors.Join(err, t.applyAccepts(change.admissions)); err != nil {
		return Change{}, err
	}
	return change, nil
}

func (t *Table) replace(ctx context.Context, want Config) error {
	if t.nft == nil {
		program, err := knftables.New(knftables.InetFamily, t.name)
		if err != nil {
			return fmt.Errorf("starting nftables (the program nft and the kernel module nf_tables are needed): %w", err)
		}
		t.nft = program
	}
	tx := t.nft.NewTransaction()
	table := &knftables.Table{}
	tx.Add(table) // so that there is one to delete
	tx.Delete(table)
	if !want.empty() {
		fill(tx, want.whole())
	}
	if err := t.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("changing table %s: %w", t.name, err)
	}
	t.seen.Wrote()
	return nil
}

func fill(tx *knftables.Transaction, want Config) {
	tx.Add(&knftables.Table{})
	for _, name := range want.Counters {
		tx.Add(&knftables.Counter{Name: name})
	}
	for _, c := range want.Chains {
		object := &knftables.Chain{Name: c.Name}
		if c.Hook != "" {
			object.Type = knftables.PtrTo(knftables.BaseChainType(c.Type))
			object.Hook = knftables.PtrTo(knftables.BaseChainHook(c.Hook))
			object.Priority = knftables.PtrTo(knftables.BaseChainPriority(fmt.Sprint(c.Priority)))
		}
		tx.Add(object)
	}
	for _, c := range want.Chains {
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
	if t.right == wanted && t.seen.WasRight(begin) {
		return Change{}, nil
	}
	t.seen.Forget()
	have, err := t.Read(ctx)
	if err != nil {
		return Change{}, err
	}
	change, err := t.Apply(ctx, Diff(t.name, have, want))
	if err != nil {
		return change, err
	}
	if t.seen.Settle(begin) {
		t.right = wanted
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
