package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Generation is a number that changes with every transaction on any nftables table of this network namespace, ours or
// others'. As long as it is the same there is nothing to repair. It costs one netlink request.
func Generation() (uint32, error) {
	answers, err := ask(unix.NFT_MSG_GETGEN, 0, unix.AF_UNSPEC)
	if err != nil {
		return 0, fmt.Errorf("asking for the generation of nftables: %w", err)
	}
	for _, attrs := range answers {
		for _, attr := range attrs {
			if attr.kind == unix.NFTA_GEN_ID && len(attr.value) >= 4 {
				return binary.BigEndian.Uint32(attr.value), nil
			}
		}
	}
	return 0, errors.New("reading the generation of nftables: none in the answer")
}

// fingerprint is a number that changes with every rule and element of the table: the kernel gives each rule that is
// written a handle of its own. It says nothing about what is in the table; nft is needed for that, and takes a process
// for every chain, while this takes five netlink requests. The seed makes it comparable.
func fingerprint(seed maphash.Seed) (uint64, error) {
	rules, err := ask(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, unix.NFPROTO_INET, text(unix.NFTA_RULE_TABLE, TableName))
	if err != nil {
		return 0, fmt.Errorf("listing rules of table %s: %w", TableName, err)
	}
	sum := uint64(len(rules))
	for i, rule := range rules {
		for _, attr := range rule {
			sum += uint64(i+1) * maphash.Bytes(seed, attr.value)
		}
	}
	for _, f := range families {
		for _, set := range []string{"served" + f.suffix, "hairpin" + f.suffix} {
			elements, err := ask(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, unix.NFPROTO_INET,
				text(unix.NFTA_SET_ELEM_LIST_TABLE, TableName), text(unix.NFTA_SET_ELEM_LIST_SET, set))
			if err != nil {
				return 0, fmt.Errorf("listing elements of set %s: %w", set, err)
			}
			sum = sum*31 + sumElements(seed, elements)
		}
	}
	return sum, nil
}

// sumElements does not depend on the order, which is the kernel's and may change by itself.
func sumElements(seed maphash.Seed, messages [][]attribute) (sum uint64) {
	for _, attrs := range messages {
		for _, attr := range attrs {
			if attr.kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			elements, err := nl.ParseRouteAttr(attr.value)
			if err != nil {
				continue // not an element then, and counts for nothing
			}
			for _, element := range elements {
				sum += maphash.Bytes(seed, element.Value)
			}
		}
	}
	return sum
}

// attribute is a netlink attribute without its flags.
type attribute struct {
	kind  uint16
	value []byte
}

func text(kind int, s string) *nl.RtAttr { return nl.NewRtAttr(kind, nl.ZeroTerminated(s)) }

// askAttempts is how often a dump is repeated that a transaction, anybody's, has cut short.
const askAttempts = 5

// ask sends a request to nf_tables and returns the attributes of each message of the answer.
func ask(message, flags, family int, attrs ...*nl.RtAttr) ([][]attribute, error) {
	var answers [][]byte
	var err error
	for range askAttempts {
		request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|message, flags)
		request.AddData(&nl.Nfgenmsg{NfgenFamily: uint8(family), Version: nl.NFNETLINK_V0})
		for _, attr := range attrs {
			request.AddData(attr)
		}
		answers, err = request.Execute(unix.NETLINK_NETFILTER, 0)
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	messages := make([][]attribute, 0, len(answers))
	for _, answer := range answers {
		parsed, err := nl.ParseRouteAttr(answer[nl.SizeofNfgenmsg:])
		if err != nil {
			return nil, fmt.Errorf("reading an answer of nf_tables: %w", err)
		}
		message := make([]attribute, 0, len(parsed))
		for _, a := range parsed {
			message = append(message, attribute{kind: a.Attr.Type & nl.NLA_TYPE_MASK, value: a.Value})
		}
		messages = append(messages, message)
	}
	return messages, nil
}
