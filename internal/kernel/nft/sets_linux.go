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
func Keys(table, set string) ([]string, error) {
	keys, _, err := KeysUnless(table, set, 0, func(func(string) bool) {})
	return keys, err
}

// KeysUnless is Keys, unless the set holds exactly those that are expected, of which there are that
// many: then same is true, and there are no keys. To copy and sort many keys takes longer than to hash
// them.
func KeysUnless(table, set string, count int, expected iter.Seq[string]) (keys []string, same bool, err error) {
	messages, err := Elements(table, set)
	if err != nil {
		return nil, false, err
	}
	seed, left, sum := maphash.MakeSeed(), count, uint64(0)
	for key := range expected {
		sum += maphash.String(seed, key)
	}
	for key := range keysIn(messages) {
		left, sum = left-1, sum-maphash.Bytes(seed, key)
	}
	if left == 0 && sum == 0 {
		return nil, true, nil
	}
	keys = make([]string, 0, count-left)
	for key := range keysIn(messages) {
		keys = append(keys, string(key))
	}
	slices.Sort(keys)
	return keys, false, nil
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
