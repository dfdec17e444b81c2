package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// SetName is a set of a table.
type SetName struct {
	Name string
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
			sets = append(sets, SetName{Name: Text(Attribute(m, unix.NFTA_SET_NAME)), Dynamic: flags&unix.NFT_SET_EVAL != 0})
		}
	}
	return sets, nil
}

// Keys are the keys of a set's elements as the kernel keeps them, sorted.
func Keys(table, set string) ([]string, error) {
	messages, err := Elements(table, set)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, m := range messages {
		for _, element := range Attributes(Attribute(m, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			keys = append(keys, string(Attribute(Attribute(element, unix.NFTA_SET_ELEM_KEY), unix.NFTA_DATA_VALUE)))
		}
	}
	slices.Sort(keys)
	return keys, nil
}
