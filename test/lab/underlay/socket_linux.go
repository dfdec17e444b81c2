package underlay

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchFrames is how many frames one system call moves.
	batchFrames = 64
	// sendBuffer is what is asked of the kernel for a socket's frames on their way, in bytes; it
	// gives what it allows.
	sendBuffer = 1 << 20
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// batch is the argument of recvmmsg and sendmmsg: one frame per message.
type batch struct {
	hdrs [batchFrames]mmsghdr
	iovs [batchFrames]unix.Iovec
}

// set makes message i point at data.
func (b *batch) set(i int, data []byte) {
	b.iovs[i].Base = unsafe.SliceData(data)
	b.iovs[i].SetLen(len(data))
	b.hdrs[i].hdr.Iov = &b.iovs[i]
	b.hdrs[i].hdr.SetIovlen(1)
}

// call moves the first n messages and returns how many it moved.
func (b *batch) call(trap, fd uintptr, n int) (int, syscall.Errno) {
	for {
		moved, _, errno := unix.Syscall6(trap, fd, uintptr(unsafe.Pointer(&b.hdrs[0])), uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return int(moved), errno
		}
	}
}

// socketWire carries frames over a SOCK_SEQPACKET connection, many per system call.
type socketWire struct {
	net.Conn
	raw syscall.RawConn

	in     batch
	memory [batchFrames][]byte
	frames [][]byte

	out, outTry batch
}

func newSocketWire(conn *net.UnixConn) (*socketWire, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("getting at the socket: %w", err)
	}
	if err := conn.SetWriteBuffer(sendBuffer); err != nil {
		return nil, fmt.Errorf("setting the socket's buffer: %w", err)
	}
	w := &socketWire{Conn: conn, raw: raw, frames: make([][]byte, 0, batchFrames)}
	memory := make([]byte, batchFrames*maxFrame) // only the part in use becomes resident
	for i := range w.memory {
		w.memory[i] = memory[i*maxFrame : (i+1)*maxFrame : (i+1)*maxFrame]
		w.in.set(i, w.memory[i])
	}
	return w, nil
}

func (w *socketWire) receive() ([][]byte, error) {
	var n int
	var errno syscall.Errno
	err := w.raw.Read(func(fd uintptr) bool {
		n, errno = w.in.call(unix.SYS_RECVMMSG, fd, batchFrames)
		return errno != unix.EAGAIN
	})
	if err != nil {
		return nil, err
	}
	if errno != 0 {
		return nil, errno
	}
	w.frames = w.frames[:0]
	for i := range n {
		size := int(w.in.hdrs[i].len)
		if size == 0 {
			return nil, io.EOF // a message of no bytes is how SOCK_SEQPACKET says that the peer is gone
		}
		if w.in.hdrs[i].hdr.Flags&unix.MSG_TRUNC == 0 {
			w.frames = append(w.frames, w.memory[i][:size])
		}
	}
	return w.frames, nil
}

func (w *socketWire) trySend(frames [][]byte) int {
	sent := 0
	_ = w.raw.Control(func(fd uintptr) { // an error means closed: nothing is sent
		for sent < len(frames) {
			n := w.outTry.fill(frames[sent:])
			moved, errno := w.outTry.call(unix.SYS_SENDMMSG, fd, n)
			if errno != 0 {
				return
			}
			sent += moved
		}
	})
	return sent
}

func (w *socketWire) send(frames [][]byte) error {
	for len(frames) > 0 {
		n := w.out.fill(frames)
		var moved int
		var errno syscall.Errno
		err := w.raw.Write(func(fd uintptr) bool {
			moved, errno = w.out.call(unix.SYS_SENDMMSG, fd, n)
			return errno != unix.EAGAIN
		})
		if err != nil {
			return err
		}
		if errno != 0 {
			return errno
		}
		frames = frames[moved:]
	}
	return nil
}

// fill makes the messages point at the first frames and returns how many.
func (b *batch) fill(frames [][]byte) int {
	n := min(len(frames), batchFrames)
	for i, frame := range frames[:n] {
		b.set(i, frame)
	}
	return n
}
