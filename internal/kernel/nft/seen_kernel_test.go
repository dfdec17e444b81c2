//go:build kernel

package nft

import (
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// A Seen asks for a comparison only after somebody else has written, and then once.
func TestSeen(t *testing.T) {
	node := netns.New(t)
	other := func() {
		node.Run("nft", "add", "table", "inet", "other")
		node.Run("nft", "delete", "table", "inet", "other")
	}
	compared := 0
	compare := func(same, whole bool) func() (bool, bool) {
		return func() (bool, bool) { compared++; return same, whole }
	}
	node.Do(func() {
		var seen Seen
		defer seen.Close()
		touched := func(name string, compare func() (bool, bool), want bool, comparisons int) {
			t.Helper()
			compared = 0
			if got := seen.Touched(compare); got != want || compared != comparisons {
				t.Errorf("%s: touched %t after %d comparisons, want %t after %d", name, got, compared, want, comparisons)
			}
		}
		mark := func() Mark {
			t.Helper()
			m, err := seen.Mark()
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		touched("nothing seen, and it differs", compare(false, true), true, 1)
		begin := mark()
		if !seen.Settle(begin) || !seen.WasRight(begin) {
			t.Error("nobody wrote, but it is not settled")
		}
		touched("nobody wrote", compare(false, true), false, 0)
		other()
		touched("others wrote, and it is the same in part", compare(true, false), false, 1)
		touched("as before", compare(true, true), false, 1)
		touched("all was compared", compare(false, true), false, 0)

		begin = mark()
		node.Run("nft", "add", "table", "inet", "ours")
		seen.Wrote()
		if !seen.Settle(begin) {
			t.Error("our own write is not told from others'")
		}
		touched("we wrote", compare(false, true), false, 0)
		begin = mark()
		other()
		seen.Wrote()
		if seen.Settle(begin) || seen.WasRight(begin) {
			t.Error("others' writes count as ours")
		}
		touched("others wrote meanwhile", compare(true, true), false, 1)
		seen.Forget()
		touched("forgotten", compare(false, true), true, 1)
	})
}

// Writers that share a count know each other's writes from those of strangers.
func TestSharedWrites(t *testing.T) {
	node := netns.New(t)
	node.Do(func() {
		var writes Writes
		var one, two Seen
		for _, s := range []*Seen{&one, &two} {
			s.Share(&writes)
			defer s.Close()
			begin, err := s.Mark()
			if err != nil || !s.Settle(begin) {
				t.Fatal("nobody wrote, but it is not settled", err)
			}
		}
		differs := func() (bool, bool) { return false, true }
		begin, err := two.Mark()
		if err != nil {
			t.Fatal(err)
		}
		node.Run("nft", "add", "table", "inet", "two")
		two.Wrote()
		if one.Touched(differs) || !two.Settle(begin) || two.Touched(differs) {
			t.Error("the other's write counts as a stranger's")
		}
		node.Run("nft", "add", "table", "inet", "strange")
		if !one.Touched(differs) || !two.Touched(differs) {
			t.Error("a stranger's write does not count")
		}
	})
}

// The number of system calls of a question is two: one to ask, one to read.
func BenchmarkWatch(b *testing.B) {
	node := netns.New(b)
	node.Do(func() {
		var w Watch
		defer w.Close()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.Generation(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
