package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"os"

	"golang.org/x/sys/unix"
)

// Generation is a number that changes with every transaction on any nftables table of this network namespace. It costs
// one netlink request.
func Generation() (uint32, error) {
	var w Watch
	defer w.Close()
	return w.Generation()
}

// Watch asks for the generation again and again, for two system calls each time and next to no memory, in the network
// namespace in which it first did. The zero Watch is ready to use; it is not safe for concurrent use. One that is forgotten
// is closed.
type Watch struct {
	socket *os.File // nil until it is opened
	seq    uint32
	buf    [512]byte // the answer has a number and a process's name
}

// Close gives back the socket. The Watch opens a new one when it is used again.
func (w *Watch) Close() {
	if w.socket != nil {
		w.socket.Close()
		w.socket = nil
	}
}

// Generation is as the function of that name has it.
func (w *Watch) Generation() (uint32, error) {
	id, err := w.ask()
	if err != nil {
		w.Close()
		return 0, fmt.Errorf("asking for the generation of nftables: %w", err)
	}
	return id, nil
}

func (w *Watch) ask() (uint32, error) {
	if w.socket == nil {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		if err != nil {
			return 0, os.NewSyscallError("socket", err)
		}
		w.socket = os.NewFile(uintptr(fd), "nfnetlink")
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30}); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
	}
	w.seq++
	request := appendHeader(w.buf[:0], unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0, w.seq, unix.AF_UNSPEC, 0)
	finish(request, 0)
	fd := int(w.socket.Fd())
	if _, err := unix.Write(fd, request); err != nil {
		return 0, os.NewSyscallError("write", err)
	}
	for {
		n, err := unix.Read(fd, w.buf[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("read", err)
		}
		return generationIn(w.buf[:n], w.seq)
	}
}

// generationIn is what the answer to the question of that number says.
func generationIn(answer []byte, seq uint32) (uint32, error) {
	for _, m := range parse(answer) {
		switch {
		case m.seq != seq:
		case m.kind == unix.NLMSG_ERROR && m.errno() != 0:
			return 0, m.errno()
		case m.kind != unix.NLMSG_ERROR && len(m.body) >= headerSize-unix.NLMSG_HDRLEN:
			if id := Attribute(m.body[headerSize-unix.NLMSG_HDRLEN:], unix.NFTA_GEN_ID); len(id) >= 4 {
				return binary.BigEndian.Uint32(id), nil
			}
		}
	}
	return 0, errors.New("none in the answer")
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
