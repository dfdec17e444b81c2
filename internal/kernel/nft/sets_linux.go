package nft

import (
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"

	"golang.org/x/sys/unix"
)

// SetName is a set of a table.
type SetName struct {
	Name string
	// KeySize is how many bytes a key has. In a key of several parts, each has a multiple of four.
	KeySize int
	// Dynamic says that rules may add elements.
	Dynamic bool
}

// Sets are the named sets of an inet table, in any order; nil if there is no such table. Those
// without a name, which belong to rules, are left out.
func Sets(table string) ([]SetName, error) {
	messages, err := List(unix.NFT_MSG_GETSET, AppendText(nil, unix.NFTA_SET_TABLE, table))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing sets of table %s: %w", table, err)
	}
	var sets []SetName
	for _, m := range messages {
		flags := number(Attribute(m, unix.NFTA_SET_FLAGS))
		if flags&unix.NFT_SET_ANONYMOUS == 0 {
			sets = append(sets, SetName{Name: Text(Attribute(m, unix.NFTA_SET_NAME)),
				KeySize: int(number(Attribute(m, unix.NFTA_SET_KEY_LEN))), Dynamic: flags&unix.NFT_SET_EVAL != 0})
		}
	}
	return sets, nil
}

// Keys are the keys of a set's elements as the kernel keeps them, sorted.
func Keys(table, set string) ([]string, error) { return KeysLike(table, set, nil) }

// KeysLike is Keys. If the set holds exactly the keys that are expected, it returns that list: to
// copy and sort many keys takes longer than to hash them.
func KeysLike(table, set string, expected []string) ([]string, error) {
	messages, err := Elements(table, set)
	if err != nil {
		return nil, err
	}
	seed, left, sum := maphash.MakeSeed(), len(expected), uint64(0)
	for _, key := range expected {
		sum += maphash.String(seed, key)
	}
	for key := range keysIn(messages) {
		left, sum = left-1, sum-maphash.Bytes(seed, key)
	}
	if left == 0 && sum == 0 {
		return expected, nil
	}
	keys := make([]string, 0, len(expected)-left)
	for key := range keysIn(messages) {
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	return keys, nil
}

// keysIn are the keys in the messages that list elements.
func keysIn(messages [][]byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, m := range messages {
			for _, element := range Attributes(Attribute(m, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				if !yield(Attribute(Attribute(element, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)) {
					return
				}
			}
		}
	}
}
