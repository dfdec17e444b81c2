package firewall

import (
	"context"
	"errors"
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
	// conn writes elements.
	conn nft.Conn
	// right is the digest that the table had when seen was last sure, and sets what its sets held.
	right string
	sets  []Set
	// known is what the table was then; nil if that is not known, or there are rules of ours in
	// iptables.
	known *State
	// clean says that there are no rules of ours in iptables.
	clean bool
	judge Judge
}

// New returns the table of that name. It does not touch the kernel yet.
func New(name string) *Table { return &Table{name: name} }

// Share counts the writes to this table together with those to other tables of this process. Writes to
// those are then no reason to look whether somebody has changed this one. Call it before all else. It
// returns the table.
func (t *Table) Share(w *nft.Writes) *Table {
	t.seen.Share(w)
	return t
}

// Read returns what the kernel has of the table, and of our rules in iptables.
func (t *Table) Read(context.Context) (State, error) {
	state, err := t.readTable()
	if err != nil {
		return State{}, err
	}
	state.admitted, err = t.readAccepts()
	return state, err
}

// readFor is Read for what is wanted. It does not look for rules in iptables where none are wanted
// and none were left: that lists all chains of others.
func (t *Table) readFor(ctx context.Context, want Config) (State, error) {
	if t.clean && len(want.Passages) == 0 {
		return t.readTable()
	}
	return t.Read(ctx)
}

// Prepare looks for the program nft, which costs two runs of it, so that the first Sync need not. If
// there is no nft, the call that needs it says so.
func (t *Table) Prepare() { _ = t.open() }

// readTable is the zero State if there is no table.
func (t *Table) readTable() (State, error) { return nft.Whole(t.readOnce) }

func (t *Table) readOnce() (State, error) {
	exists, err := nft.TableExists(t.name)
	if err != nil || !exists {
		return State{}, err
	}
	state := State{Elements: map[string]Keys{}}
	found := &state.found
	found.sets = map[string]int{}
	if found.counters, err = counterNames(t.name); err != nil {
		return State{}, err
	}
	sets, err := nft.Sets(t.name)
	if err != nil {
		return State{}, err
	}
	for _, s := range sets {
		found.sets[s.Name] = s.KeySize
		if s.Dynamic {
			continue
		}
		if state.Elements[s.Name], err = t.readKeys(s.Name); err != nil {
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

// readKeys reads the elements of a set. If they are those that it had last, it returns just these.
func (t *Table) readKeys(set string) (Keys, error) {
	var expected Keys
	if t.known != nil {
		expected = t.known.Elements[set]
	}
	keys, same, err := nft.KeysUnless(t.name, set, expected.Len(), expected.All())
	if err != nil || same {
		return expected, err
	}
	return KeysOf(keys), nil
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

// Sync makes the table hold what want says and returns what it changed. It is safe to repeat, and
// costs one netlink request as long as nobody else writes to nftables.
func (t *Table) Sync(ctx context.Context, want Config) (Change, error) {
	begin, err := t.seen.Mark()
	if err != nil {
		return Change{}, err
	}
	wanted := want.Digest()
	sets := want.whole().Sets
	if t.right == wanted && sameSets(t.sets, sets) && t.seen.WasRight(begin) {
		return Change{}, nil
	}
	have := t.known
	if have == nil || !t.seen.WasRight(begin) || len(want.Passages) > 0 {
		read, err := t.readFor(ctx, want)
		if err != nil {
			return Change{}, err
		}
		have = &read
	}
	t.seen.Forget()
	t.known, t.clean = nil, false
	change, err := t.Apply(ctx, Diff(t.name, *have, want))
	if err != nil {
		return change, err
	}
	t.clean = len(want.Passages) == 0
	if t.seen.Settle(begin) {
		t.right, t.sets = wanted, sets
		if len(want.Passages) == 0 {
			t.known = want.state()
		}
	}
	return change, nil
}

// Touched reports whether somebody else has written to nftables since the last Sync, or it failed. It
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
