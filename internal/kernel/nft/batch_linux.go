package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// messageSize is how much one message carries: the length of a netlink attribute has 16 bits.
const messageSize = 60 << 10

// Batch is a transaction on the rules and elements of one table: the kernel does all of it, or
// nothing. NewBatch makes one. It is not safe for concurrent use.
type Batch struct {
	family uint8
	table  string
	buf    []byte
	// labels say what each message does.
	labels []string
	// start and nest are where that message and its list of elements begin; what and set are its kind.
	start, nest, what int
	set               string
	size              int
}

// NewBatch is an empty transaction on a table of the inet family.
func NewBatch(table string) *Batch { return NewBatchOf(unix.NFPROTO_INET, table) }

// NewBatchOf is an empty transaction on a table of a family, such as NFPROTO_IPV4.
func NewBatchOf(family uint8, table string) *Batch {
	b := &Batch{family: family, table: table}
	b.buf = appendHeader(nil, unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	finish(b.buf, 0)
	return b
}

// Size is how many elements and rules are written.
func (b *Batch) Size() int { return b.size }

// Chain makes a chain without a hook, if it is not there.
func (b *Batch) Chain(name string) {
	b.object(unix.NFT_MSG_NEWCHAIN, "adding chain "+name, unix.NLM_F_CREATE, func(b []byte) []byte {
		return AppendText(b, unix.NFTA_CHAIN_NAME, name)
	})
}

// Flush deletes all rules of a chain.
func (b *Batch) Flush(chain string) {
	b.object(unix.NFT_MSG_DELRULE, "flushing chain "+chain, 0, func(b []byte) []byte {
		return AppendText(b, unix.NFTA_RULE_CHAIN, chain)
	})
}

// Rule appends a rule to a chain, with a comment as nft keeps it; fill appends the list of its
// expressions.
func (b *Batch) Rule(chain, comment string, fill func([]byte) []byte) {
	b.AddRule(NewRule{Chain: chain, Comment: comment, Fill: fill})
}

// NewRule is a rule to add to a chain.
type NewRule struct {
	Chain string // required
	// Comment as nft keeps it.
	Comment string // required
	// Fill appends the list of the rule's expressions.
	Fill func([]byte) []byte // required
	// First puts the rule before all others, not after them.
	First bool // optional
	// Protocol is the one that the rule selects, if it has a match of iptables for it.
	Protocol uint32 // optional
}

// AddRule adds a rule to a chain.
func (b *Batch) AddRule(r NewRule) {
	flags := unix.NLM_F_CREATE
	if !r.First {
		flags |= unix.NLM_F_APPEND
	}
	b.object(unix.NFT_MSG_NEWRULE, "adding a rule to chain "+r.Chain, flags, func(b []byte) []byte {
		b = AppendText(b, unix.NFTA_RULE_CHAIN, r.Chain)
		b = AppendNest(b, unix.NFTA_RULE_EXPRESSIONS, r.Fill)
		if r.Protocol != 0 {
			b = AppendNest(b, unix.NFTA_RULE_COMPAT, func(b []byte) []byte {
				return AppendNumber(AppendNumber(b, unix.NFTA_RULE_COMPAT_PROTO, r.Protocol), unix.NFTA_RULE_COMPAT_FLAGS, 0)
			})
		}
		userdata := append([]byte{0, byte(len(r.Comment) + 1)}, r.Comment...)
		return AppendAttribute(b, unix.NFTA_RULE_USERDATA, append(userdata, 0)...)
	})
}

// DeleteRule deletes a rule of a chain, which must be there.
func (b *Batch) DeleteRule(chain string, handle uint64) {
	b.object(unix.NFT_MSG_DELRULE, "deleting a rule of chain "+chain, 0, func(b []byte) []byte {
		b = AppendText(b, unix.NFTA_RULE_CHAIN, chain)
		return AppendAttribute(b, unix.NFTA_RULE_HANDLE, binary.BigEndian.AppendUint64(nil, handle)...)
	})
}

func (b *Batch) object(what int, label string, flags int, fill func([]byte) []byte) {
	b.closeMessage()
	b.labels = append(b.labels, label)
	b.start = len(b.buf)
	b.buf = appendHeader(b.buf, unix.NFNL_SUBSYS_NFTABLES<<8|what, flags, uint32(len(b.labels)), b.family, 0)
	b.buf = fill(AppendText(b.buf, unix.NFTA_RULE_TABLE, b.table)) // a chain names its table by the same number
	finish(b.buf, b.start)
	b.size++
}

// Add adds an element; fill appends its attributes (NFTA_SET_ELEM_KEY and so on).
func (b *Batch) Add(set string, fill func([]byte) []byte) {
	b.append(unix.NFT_MSG_NEWSETELEM, set, fill)
}

// Delete deletes an element, which must be there.
func (b *Batch) Delete(set string, fill func([]byte) []byte) {
	b.append(unix.NFT_MSG_DELSETELEM, set, fill)
}

func (b *Batch) append(what int, set string, fill func([]byte) []byte) {
	if b.what != what || b.set != set || len(b.buf)-b.start > messageSize {
		b.closeMessage()
		b.openMessage(what, set)
	}
	b.buf = AppendNest(b.buf, unix.NFTA_LIST_ELEM, fill)
	b.size++
}

func (b *Batch) openMessage(what int, set string) {
	flags, verb := 0, "deleting from"
	if what == unix.NFT_MSG_NEWSETELEM {
		flags, verb = unix.NLM_F_CREATE, "adding to"
	}
	b.labels = append(b.labels, verb+" "+set)
	b.what, b.set, b.start = what, set, len(b.buf)
	b.buf = appendHeader(b.buf, unix.NFNL_SUBSYS_NFTABLES<<8|what, flags, uint32(len(b.labels)), b.family, 0)
	b.buf = AppendText(b.buf, unix.NFTA_SET_ELEM_LIST_TABLE, b.table)
	b.buf = AppendText(b.buf, unix.NFTA_SET_ELEM_LIST_SET, set)
	b.nest = len(b.buf)
	b.buf = append(b.buf, 0, 0, 0, 0)
}

func (b *Batch) closeMessage() {
	if b.what == 0 {
		return
	}
	binary.NativeEndian.PutUint16(b.buf[b.nest:], uint16(len(b.buf)-b.nest))
	binary.NativeEndian.PutUint16(b.buf[b.nest+2:], unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED)
	finish(b.buf, b.start)
	b.what = 0
}

// Conn sends transactions in the network namespace in which it sent the first one. To close a socket
// right after a transaction takes 10 ms: the kernel first frees what the transaction has replaced, for
// which it waits until no packet uses it, and lets no other transaction begin. So who writes often
// keeps a Conn. The zero Conn is ready to use. It is not safe for concurrent use.
type Conn struct {
	socket *socket // nil until it is opened
}

// Close closes the socket. The Conn opens a new one when it is used again.
func (c *Conn) Close() {
	if c.socket != nil {
		c.socket.close()
		c.socket = nil
	}
}

// Commit sends the transaction, as Batch.Commit does.
func (c *Conn) Commit(b *Batch) error {
	if c.socket == nil {
		var err error
		if c.socket, err = dial(receiveSize); err != nil {
			return err
		}
	}
	err := b.commit(c.socket)
	if err != nil {
		c.Close() // it may hold more answers
	}
	return err
}

// Commit sends the transaction. An error of the kernel is a unix.Errno: ENOENT if an element that
// is deleted was not there, EEXIST if one that is added was, with another value. The Batch is then
// used up.
func (b *Batch) Commit() error {
	var c Conn
	defer c.Close()
	return c.Commit(b)
}

func (b *Batch) commit(s *socket) error {
	if len(b.labels) == 0 {
		return nil
	}
	last := b.start
	b.closeMessage()
	// Errors come unasked; the last message's acknowledgement says that all are there.
	flags := binary.NativeEndian.Uint16(b.buf[last+6:])
	binary.NativeEndian.PutUint16(b.buf[last+6:], flags|unix.NLM_F_ACK)
	end := len(b.buf)
	b.buf = appendHeader(b.buf, unix.NFNL_MSG_BATCH_END, 0, uint32(len(b.labels)+1), unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	finish(b.buf, end)
	if err := s.room(len(b.buf)); err != nil {
		return err
	}
	if err := s.send(b.buf); err != nil {
		return err
	}
	return b.answer(s)
}

// room makes the socket's buffer large enough for a request: the kernel reads it in one piece.
func (s *socket) room(size int) error {
	size += size / 8 // what the kernel keeps beside it
	if have, err := unix.GetsockoptInt(s.fd(), unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil && have > size {
		return nil
	}
	if err := unix.SetsockoptInt(s.fd(), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size); err == nil {
		return nil
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd(), unix.SOL_SOCKET, unix.SO_SNDBUF, size))
}

func (b *Batch) answer(s *socket) error {
	var first error
	for {
		messages, err := s.receive()
		if err != nil {
			return err
		}
		for m := range parse(messages) {
			if m.kind != unix.NLMSG_ERROR {
				continue
			}
			errno := m.errno()
			switch {
			case m.seq == 0: // the transaction as a whole: no permission, no memory
				return errors.Join(first, errno)
			case errno != 0 && first == nil && int(m.seq) <= len(b.labels):
				first = fmt.Errorf("%s: %w", b.labels[m.seq-1], errno)
			}
			if int(m.seq) == len(b.labels) {
				return first
			}
		}
	}
}
