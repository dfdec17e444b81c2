package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// errInterrupted says that what was dumped changed meanwhile, so that some of it may be missing.
var errInterrupted = errors.New("the table changed while it was read")

// genlHeader is the length of what generic netlink puts before the attributes (struct genlmsghdr).
const genlHeader = 4

// lookupBatch is how many services one sendmsg asks for: the kernel counts up to 8 KiB for each
// answer, and the socket's default buffer (212,992 bytes) has to hold them all.
const lookupBatch = 16

// services dumps the table.
func (s *socket) services() (map[Key]Service, error) {
	all := map[Key]Service{}
	err := s.eachService(func(key Key, service Service) { all[key] = service })
	return all, err
}

// eachService dumps the table and calls handle for each service, in the kernel's order.
func (s *socket) eachService(handle func(Key, Service)) error {
	return s.dump(cmdGetService, nil, func(attributes []byte) {
		if key, service, ok := decodeService(attribute(attributes, attrService)); ok {
			handle(key, service)
		}
	})
}

// destinations of a service, in the kernel's order; none of a service that is not there.
func (s *socket) destinations(key Key) ([]Destination, error) {
	all := []Destination{}
	err := s.dump(cmdGetDest, appendServiceAttr(nil, Operation{Verb: DeleteService, Key: key}), func(attributes []byte) {
		if d, ok := decodeDestination(attribute(attributes, attrDest)); ok {
			all = append(all, d)
		}
	})
	return all, err
}

// lookup is those of the services that are there, without their destinations.
func (s *socket) lookup(keys []Key) (map[Key]Service, error) {
	first := s.seq + 1
	var request []byte
	for _, key := range keys {
		s.seq++
		request = appendQuestion(request, s.family, 0, s.seq, cmdGetService, appendServiceAttr(nil, Operation{Verb: DeleteService, Key: key}))
	}
	if err := unix.Sendto(s.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	found := make(map[Key]Service, len(keys))
	for answered := 0; answered < len(keys); {
		err := s.receive(func(h unix.NlMsghdr, body []byte) (bool, error) {
			if h.Seq-first >= uint32(len(keys)) {
				return false, nil // of an earlier question
			}
			answered++
			if h.Type == unix.NLMSG_ERROR {
				return false, notThere(errnoOf(body))
			}
			if key, service, ok := decodeService(attribute(body[min(genlHeader, len(body)):], attrService)); ok {
				found[key] = service
			}
			return false, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// notThere is nil where the kernel says that there is no such service.
func notThere(errno unix.Errno) error {
	if errno == 0 || errno == unix.ESRCH {
		return nil
	}
	return errno
}

// dump asks for all there is, and passes the attributes of each thing to handle. The error is
// errInterrupted if some may be missing.
func (s *socket) dump(command uint8, question []byte, handle func(attributes []byte)) error {
	s.seq++
	seq, interrupted := s.seq, false
	request := appendQuestion(nil, s.family, unix.NLM_F_DUMP, seq, command, question)
	if err := unix.Sendto(s.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	for done := false; !done; {
		err := s.receive(func(h unix.NlMsghdr, body []byte) (bool, error) {
			if h.Seq != seq {
				return false, nil
			}
			interrupted = interrupted || h.Flags&unix.NLM_F_DUMP_INTR != 0
			switch h.Type {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done = true
				if errno := errnoOf(body); errno != 0 {
					return true, errno
				}
				return true, nil
			}
			handle(body[min(genlHeader, len(body)):])
			return false, nil
		})
		if err != nil {
			return err
		}
	}
	if interrupted {
		return errInterrupted
	}
	return nil
}

// receive reads once from the socket and passes each message to handle, until handle says that it
// was the last, or fails.
func (s *socket) receive(handle func(h unix.NlMsghdr, body []byte) (last bool, err error)) error {
	n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("recvfrom", err)
	}
	for b := s.buf[:n]; len(b) >= unix.NLMSG_HDRLEN; {
		h := unix.NlMsghdr{Len: binary.NativeEndian.Uint32(b), Type: binary.NativeEndian.Uint16(b[4:]),
			Flags: binary.NativeEndian.Uint16(b[6:]), Seq: binary.NativeEndian.Uint32(b[8:])}
		if h.Len < unix.NLMSG_HDRLEN || int64(h.Len) > int64(len(b)) {
			return fmt.Errorf("reading netlink: a message of %d bytes in %d", h.Len, len(b))
		}
		if last, err := handle(h, b[unix.NLMSG_HDRLEN:h.Len]); last || err != nil {
			return err
		}
		b = b[min(align(int(h.Len)), len(b)):]
	}
	return nil
}

// errnoOf is the error in the body of an NLMSG_ERROR or NLMSG_DONE.
func errnoOf(body []byte) unix.Errno {
	if len(body) < 4 {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
}

// appendQuestion appends one netlink message that changes nothing.
func appendQuestion(b []byte, family, flags uint16, seq uint32, command uint8, attributes []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+genlHeader+len(attributes)))
	b = binary.NativeEndian.AppendUint16(b, family)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel fills in who we are
	b = append(b, command, genlVersion, 0, 0)
	return append(b, attributes...)
}
