package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

// Generation is a number that changes with every transaction on any nftables table of this network namespace. It costs
// one netlink request.
func Generation() (uint32, error) {
	answers, err := ask(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0, unix.AF_UNSPEC, nil)
	if err != nil {
		return 0, fmt.Errorf("asking for the generation of nftables: %w", err)
	}
	for _, answer := range answers {
		if id := Attribute(answer, unix.NFTA_GEN_ID); len(id) >= 4 {
			return binary.BigEndian.Uint32(id), nil
		}
	}
	return 0, errors.New("reading the generation of nftables: none in the answer")
}

// Fingerprint is a number that changes with every rule of the table and every element of those sets: the kernel gives
// each rule that is written a handle of its own. It says nothing about what is in the table; nft is needed for that, and
// takes a process for every chain, while this takes a netlink request for the rules and one for each set. The seed
// makes it comparable.
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

// Elements are the messages that list the elements of a set or map: Attribute by NFTA_SET_ELEM_LIST_ELEMENTS is a list
// of them in each.
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
