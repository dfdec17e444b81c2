package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// headerSize is that of a message: the header of netlink and that of nfnetlink.
const headerSize = unix.NLMSG_HDRLEN + 4

// receiveSize holds the largest message that the kernel makes for a dump.
const receiveSize = 64 << 10

// socket to nfnetlink, in the network namespace of the thread that opened it.
type socket struct {
	fd  int
	buf []byte
}

func dial() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1), // errors without a copy of the request
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30}),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("preparing a netlink socket: %w", err)
	}
	return &socket{fd: fd, buf: make([]byte, receiveSize)}, nil
}

func (s *socket) close() { unix.Close(s.fd) }

func (s *socket) send(request []byte) error {
	return os.NewSyscallError("sendto", unix.Sendto(s.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
}

// message of an answer.
type message struct {
	kind, flags uint16
	seq         uint32
	body        []byte // after netlink's header
}

// receive waits for the next messages. They are valid until the next call.
func (s *socket) receive() ([]message, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("recvfrom", err)
		}
		return parse(s.buf[:n]), nil
	}
}

func parse(b []byte) (messages []message) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			break
		}
		messages = append(messages, message{
			kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
			seq: binary.NativeEndian.Uint32(b[8:]), body: b[unix.NLMSG_HDRLEN:size],
		})
		b = b[min(align(size), len(b)):]
	}
	return messages
}

// errno is what an error message says, zero for an acknowledgement.
func (m message) errno() unix.Errno {
	if len(m.body) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.body)))
}

// appendHeader begins a message; its length is filled in by finish.
func appendHeader(b []byte, kind, flags int, seq uint32, family uint8, resource uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = binary.NativeEndian.AppendUint16(b, uint16(flags|unix.NLM_F_REQUEST))
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel fills in who we are
	b = append(b, family, unix.NFNETLINK_V0)
	return binary.BigEndian.AppendUint16(b, resource)
}

func finish(b []byte, start int) { binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start)) }

// attempts is how often a dump is repeated that a transaction, anybody's, has cut short.
const attempts = 8

// List asks nf_tables for all objects of the inet family that the attributes select, with a message such as
// NFT_MSG_GETRULE, and returns the attributes of each. If there is no such table or set the error is ENOENT.
func List(kind int, attributes []byte) ([][]byte, error) {
	return ask(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP, unix.NFPROTO_INET, attributes)
}

// errInterrupted says that what was listed changed meanwhile.
var errInterrupted = errors.New("nf_tables changed while it was listed")

// ask sends one request and collects the answers.
func ask(kind, flags int, family uint8, attributes []byte) (answers [][]byte, err error) {
	s, err := dial()
	if err != nil {
		return nil, err
	}
	defer s.close()
	for seq := range uint32(attempts) {
		request := append(appendHeader(nil, kind, flags, seq+1, family, 0), attributes...)
		finish(request, 0)
		if err := s.send(request); err != nil {
			return nil, err
		}
		answers, err = s.collect(seq+1, flags&unix.NLM_F_DUMP != 0)
		if !errors.Is(err, errInterrupted) {
			break
		}
	}
	return answers, err
}

func (s *socket) collect(seq uint32, dump bool) (answers [][]byte, err error) {
	interrupted := false
	for {
		messages, err := s.receive()
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			if m.seq != seq {
				continue
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case m.kind == unix.NLMSG_ERROR || m.kind == unix.NLMSG_DONE:
				errno := m.errno()
				switch {
				case errors.Is(errno, unix.EINTR) || errno == 0 && interrupted:
					return nil, errInterrupted
				case errno != 0:
					return nil, errno
				}
				return answers, nil
			case len(m.body) >= headerSize-unix.NLMSG_HDRLEN:
				answers = append(answers, slices.Clone(m.body[headerSize-unix.NLMSG_HDRLEN:]))
				if !dump {
					return answers, nil
				}
			}
		}
	}
}
