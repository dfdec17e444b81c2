package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Generation is a number that changes with every transaction on any nftables table of this network
// namespace. It costs one netlink request.
func Generation() (uint32, error) {
	var w Watch
	defer w.Close()
	return w.Generation()
}

// Watch asks for the generation again and again, with two system calls each time and next to no
// memory, in the network namespace in which it first did. The zero Watch is ready to use. It is not
// safe for concurrent use. The garbage collector closes one that is forgotten.
type Watch struct {
	socket *socket // nil until it is opened
}

// generationSize holds the answer: a number and the name of a process.
const generationSize = 512

// Close closes the socket. The Watch opens a new one when it is used again.
func (w *Watch) Close() {
	if w.socket != nil {
		w.socket.close()
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

func (w *Watch) ask() (id uint32, err error) {
	if w.socket == nil {
		if w.socket, err = dial(generationSize); err != nil {
			return 0, err
		}
	}
	s := w.socket
	s.seq++
	request := appendHeader(s.buf[:0], unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0, s.seq, unix.AF_UNSPEC, 0)
	finish(request, 0)
	if err := s.send(request); err != nil {
		return 0, err
	}
	answer, err := s.receive()
	if err != nil {
		return 0, err
	}
	return generationIn(answer, s.seq)
}

// generationIn reads the answer to the question of that number.
func generationIn(answer []byte, seq uint32) (uint32, error) {
	for m := range parse(answer) {
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
