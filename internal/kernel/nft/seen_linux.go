package nft

// Seen knows whether a table of ours is still as its writer left it. It remembers the generation of
// nftables in which the table was right, so that asking costs one request as long as nobody writes
// to nftables. The zero Seen has seen nothing. It is not safe for concurrent use.
type Seen struct {
	watch Watch
	// generation is that in which the table was right, if right is true.
	generation uint32
	right      bool
	// writes counts the transactions of the table's writer.
	writes uint32
}

// Mark is a moment before some writes.
type Mark struct{ generation, writes uint32 }

// Mark returns the present moment.
func (s *Seen) Mark() (Mark, error) {
	now, err := s.watch.Generation()
	return Mark{generation: now, writes: s.writes}, err
}

// Wrote counts a transaction of the table's writer.
func (s *Seen) Wrote() { s.writes++ }

// Settle says that the writer has left the table right. It returns true if nobody else has written
// to nftables since the mark. Otherwise Touched will compare the table.
func (s *Seen) Settle(since Mark) bool {
	now, err := s.watch.Generation()
	s.generation, s.right = now, err == nil && now-since.generation == s.writes-since.writes
	return s.right
}

// WasRight reports whether the table was right at the mark, as far as is known.
func (s *Seen) WasRight(at Mark) bool { return s.right && s.generation == at.generation }

// Forget says that the table may not be right.
func (s *Seen) Forget() { s.right = false }

// Touched reports whether the table may no longer be right. If somebody has written to nftables
// since, it compares: same says whether the table is still the same, and whole whether all of it
// was compared. Only then will it not compare again.
func (s *Seen) Touched(compare func() (same, whole bool)) bool {
	now, err := s.watch.Generation()
	switch {
	case err != nil:
		return true
	case s.right && now == s.generation:
		return false
	}
	same, whole := compare()
	if same && whole {
		s.generation, s.right = now, true
	}
	return !same
}

// Close closes the socket. The Seen opens a new one when it is used again.
func (s *Seen) Close() { s.watch.Close() }
