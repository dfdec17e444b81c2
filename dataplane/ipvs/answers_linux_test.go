package ipvs

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// answer is a netlink message of the kernel's.
func answer(kind uint16, seq uint32, errno int32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, unix.NLMSG_HDRLEN+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	return binary.NativeEndian.AppendUint32(b, uint32(errno))
}

// FuzzAnswers: whatever the kernel answers, no answer is taken for one to another request.
func FuzzAnswers(f *testing.F) {
	f.Add(answer(unix.NLMSG_ERROR, 7, -int32(unix.ENOENT)), uint32(7))
	f.Add(append(answer(unix.NLMSG_ERROR, 6, -int32(unix.EPERM)), answer(unix.NLMSG_ERROR, 9, 0)...), uint32(7))
	f.Add(answer(unix.NLMSG_DONE, 8, 0)[:18], uint32(0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte, first uint32) {
		answers := make([]unix.Errno, 3)
		last := readAnswers(b, first, answers)
		seen := map[uint32]bool{}
		for rest := b; len(rest) >= unix.NLMSG_HDRLEN; {
			size := binary.NativeEndian.Uint32(rest)
			seen[binary.NativeEndian.Uint32(rest[8:])] = true
			next := (int64(size) + 3) &^ 3
			if size < unix.NLMSG_HDRLEN || next > int64(len(rest)) {
				break
			}
			rest = rest[next:]
		}
		for i, errno := range answers {
			if errno != 0 && !seen[first+uint32(i)] {
				t.Errorf("request %d was answered with %v by none of %v", first+uint32(i), errno, seen)
			}
		}
		if last && !seen[first+2] {
			t.Errorf("the last request counts as answered, by none of %v", seen)
		}
	})
}
