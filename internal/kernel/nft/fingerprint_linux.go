package nft

import (
	"fmt"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

// Fingerprint is a number that changes with every rule of the table and every element of those
// sets: each rule that is written gets a handle of its own from the kernel. It does not say what is
// in the table. Only nft can, with a process for every chain, while this costs one netlink request
// for the rules and one for each set. Fingerprints are comparable if they have the same seed.
func Fingerprint(seed maphash.Seed, table string, sets ...string) (uint64, error) {
	rules, err := List(unix.NFT_MSG_GETRULE, AppendText(nil, unix.NFTA_RULE_TABLE, table))
	if err != nil {
		return 0, fmt.Errorf("listing rules of table %s: %w", table, err)
	}
	sum := uint64(len(rules))
	for i, rule := range rules {
		for _, value := range Attributes(rule) {
			sum += uint64(i+1) * maphash.Bytes(seed, value)
		}
	}
	for _, set := range sets {
		messages, err := Elements(table, set)
		if err != nil {
			return 0, err
		}
		sum = sum*31 + sumElements(seed, messages)
	}
	return sum, nil
}

// Elements are the messages that list the elements of a set or map: Attribute by
// NFTA_SET_ELEM_LIST_ELEMENTS is a list of them in each.
func Elements(table, set string) ([][]byte, error) {
	selector := AppendText(AppendText(nil, unix.NFTA_SET_ELEM_LIST_TABLE, table), unix.NFTA_SET_ELEM_LIST_SET, set)
	messages, err := List(unix.NFT_MSG_GETSETELEM, selector)
	if err != nil {
		return nil, fmt.Errorf("listing elements of set %s: %w", set, err)
	}
	return messages, nil
}

// sumElements does not depend on the order, which is the kernel's and may change by itself.
func sumElements(seed maphash.Seed, messages [][]byte) (sum uint64) {
	for _, m := range messages {
		for _, element := range Attributes(Attribute(m, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			sum += maphash.Bytes(seed, element)
		}
	}
	return sum
}
