package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// batchSize is how many requests one sendmsg carries. Each is at most 160 bytes, so that a batch
// stays far below the default socket buffer (212,992 bytes), and so do the answers if every one of
// them is an error.
const batchSize = 128

// socket sends batches of requests to the generic netlink family of IPVS. It is not safe for
// concurrent use.
type socket struct {
	fd     int
	family uint16
	seq    uint32
	buf    []byte
	// request is reused from one batch to the next.
	request []byte
}

func dial(family uint16) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	// Errors then come without a copy of the request.
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("preparing a netlink socket: %w", err)
	}
	return &socket{fd: fd, family: family, buf: make([]byte, 64<<10)}, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// execute sends the operations, batchSize at most, and returns the kernel's answer to each: zero is
// success. Only the last one asks for an acknowledgement, since errors come unasked.
func (s *socket) execute(ops []Operation) ([]unix.Errno, error) {
	first := s.seq + 1
	request := s.request[:0]
	for i, op := range ops {
		s.seq++
		flags := uint16(unix.NLM_F_REQUEST)
		if i == len(ops)-1 {
			flags |= unix.NLM_F_ACK
		}
		request = appendRequest(request, s.family, flags, s.seq, op)
	}
	s.request = request
	if err := unix.Sendto(s.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	answers := make([]unix.Errno, len(ops))
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("recvfrom", err)
		}
		if readAnswers(s.buf[:n], first, answers) {
			return answers, nil
		}
	}
}

// readAnswers fills in the errors of the batch that begins with sequence number first, and reports
// whether its last request was answered.
func readAnswers(b []byte, first uint32, answers []unix.Errno) (last bool) {
	for len(b) >= unix.NLMSG_HDRLEN+4 {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return last
		}
		i := binary.NativeEndian.Uint32(b[8:]) - first
		if binary.NativeEndian.Uint16(b[4:]) == unix.NLMSG_ERROR && int64(i) < int64(len(answers)) {
			answers[i] = unix.Errno(-int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])))
			last = last || int(i) == len(answers)-1
		}
		b = b[min(align(size), len(b)):]
	}
	return last
}

func align(n int) int { return (n + 3) &^ 3 }
