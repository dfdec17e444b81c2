package nft

import "sync/atomic"

// Writes counts the transactions of several writers in one network namespace, so that each can tell
// those of the others from those of strangers. The zero Writes is ready to use. It is safe for
// concurrent use.
type Writes struct{ count atomic.Uint32 }

// Seen knows whether a table of ours is still as its writer left it. It remembers how many transactions
// on nftables strangers had made when the table was right, so that asking costs one request as long as
// none makes another. The zero Seen has seen nothing. It is not safe for concurrent use.
type Seen struct {
	watch Watch
	// at is when the table was right, if right is true.
	at    Mark
	right bool
	// writes counts the transactions of the table's writer, and of those that share the count; nil: own
	// does.
	writes *Writes
	own    Writes
}

// Mark is a moment: how many transactions strangers have made, counted from any number.
type Mark struct{ strange uint32 }

// Share says that the writes of the table's writer, and those of others in this process, are counted
// together: none of them changes the table of another. It comes before all else.
func (s *Seen) Share(w *Writes) { s.writes = w }

func (s *Seen) counter() *Writes {
	if s.writes == nil {
		return &s.own
	}
	return s.writes
}

// Mark returns the present moment.
func (s *Seen) Mark() (Mark, error) {
	// In this order a write in between looks like a stranger's, and costs a comparison. In the other one
	// it would hide a stranger's.
	ours := s.counter().count.Load()
	all, err := s.watch.Generation()
	return Mark{strange: all - ours}, err
}

// Wrote counts a transaction of the table's writer.
func (s *Seen) Wrote() { s.counter().count.Add(1) }

// Settle says that the writer has left the table right. It returns true if no stranger has written
// to nftables since the mark. Otherwise Touched will compare the table.
func (s *Seen) Settle(since Mark) bool {
	now, err := s.Mark()
	s.at, s.right = now, err == nil && now == since
	return s.right
}

// WasRight reports whether the table was right at the mark, as far as is known.
func (s *Seen) WasRight(at Mark) bool { return s.right && s.at == at }

// Forget says that the table may not be right.
func (s *Seen) Forget() { s.right = false }

// Touched reports whether the table may no longer be right. If a stranger has written to nftables
// since, it compares: same says whether the table is still the same, and whole whether all of it
// was compared. Only then will it not compare again.
func (s *Seen) Touched(compare func() (same, whole bool)) bool {
	now, err := s.Mark()
	switch {
	case err != nil:
		return true
	case s.right && now == s.at:
		return false
	}
	same, whole := compare()
	if same && whole {
		s.at, s.right = now, true
	}
	return !same
}

// Close closes the socket. The Seen opens a new one when it is used again.
func (s *Seen) Close() { s.watch.Close() }
