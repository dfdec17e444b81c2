package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// headerSize is that of a message: the header of netlink and that of nfnetlink.
const headerSize = unix.NLMSG_HDRLEN + 4

// receiveSize holds the largest message that the kernel makes for a dump.
const receiveSize = 64 << 10

// socket to nfnetlink, in the network namespace of the thread that opened it. The garbage collector
// closes one that is forgotten.
type socket struct {
	file *os.File
	buf  []byte
	// seq is the number of the last request.
	seq    uint32
	kernel unix.SockaddrNetlink
}

// dial opens a socket for answers whose messages have that size at most, in bytes.
func dial(size int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1), // errors without a copy of the request
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("preparing a netlink socket: %w", err)
	}
	return &socket{
		file: os.NewFile(uintptr(fd), "nfnetlink"), buf: make([]byte, size),
		kernel: unix.SockaddrNetlink{Family: unix.AF_NETLINK},
	}, nil
}

func (s *socket) close() { s.file.Close() }

func (s *socket) fd() int { return int(s.file.Fd()) }

func (s *socket) send(request []byte) error {
	return os.NewSyscallError("sendto", unix.Sendto(s.fd(), request, 0, &s.kernel))
}

// receive waits for the next messages. They are valid until the next call.
func (s *socket) receive() ([]byte, error) {
	for {
		n, err := unix.Read(s.fd(), s.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("read", err)
		}
		return s.buf[:n], nil
	}
}

// message of an answer.
type message struct {
	kind, flags uint16
	seq         uint32
	body        []byte // after netlink's header
}

// parse returns the messages in b, up to one that is cut short.
func parse(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.NLMSG_HDRLEN {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.NLMSG_HDRLEN || size > len(b) {
				return
			}
			m := message{
				kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
				seq: binary.NativeEndian.Uint32(b[8:]), body: b[unix.NLMSG_HDRLEN:size],
			}
			if !yield(m) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
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

// attempts is how often a dump begins before it counts as failed: any transaction cuts it short.
const attempts = 8

// List asks nf_tables for all objects of the inet family that the attributes select, with a message
// such as NFT_MSG_GETRULE, and returns the attributes of each. If there is no such table or set the
// error is ENOENT.
func List(kind int, attributes []byte) ([][]byte, error) {
	return ask(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP, unix.NFPROTO_INET, attributes)
}

// errInterrupted says that what was listed changed meanwhile.
var errInterrupted = errors.New("nf_tables changed while it was listed")

// ask sends one request and collects the answers.
func ask(kind, flags int, family uint8, attributes []byte) (answers [][]byte, err error) {
	s, err := dial(receiveSize)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for range attempts {
		s.seq++
		request := append(appendHeader(nil, kind, flags, s.seq, family, 0), attributes...)
		finish(request, 0)
		if err := s.send(request); err != nil {
			return nil, err
		}
		if answers, err = s.collect(flags&unix.NLM_F_DUMP != 0); !errors.Is(err, errInterrupted) {
			break
		}
	}
	return answers, err
}

// collect reads the answers to the last request, until the last of a dump, or one.
func (s *socket) collect(dump bool) (answers [][]byte, err error) {
	interrupted := false
	for {
		messages, err := s.receive()
		if err != nil {
			return nil, err
		}
		for m := range parse(messages) {
			if m.seq != s.seq {
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
