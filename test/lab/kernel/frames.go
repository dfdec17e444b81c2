package kernel

import (
	"encoding/binary"
	"io"
)

// A terminal has no end of file that a guest could not also read as data, so
// the standard input travels in frames: a length of 2 bytes, big endian, and
// that many bytes. Length 0 is the end of the stream.
const maxFrame = 4096

// WriteFrames copies r to w in frames, the closing one included.
func WriteFrames(w io.Writer, r io.Reader) error {
	buf := make([]byte, 2+maxFrame)
	for {
		n, err := r.Read(buf[2:])
		if n > 0 {
			binary.BigEndian.PutUint16(buf, uint16(n))
			if _, err := w.Write(buf[:2+n]); err != nil {
				return err
			}
		}
		if err != nil {
			_, werr := w.Write([]byte{0, 0})
			return werr
		}
	}
}

// ReadFrames copies the frames of r to w until the closing one.
func ReadFrames(w io.Writer, r io.Reader) error {
	var head [2]byte
	buf := make([]byte, maxFrame)
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint16(head[:])
		if n == 0 {
			return nil
		}
		if n > maxFrame {
			return io.ErrShortBuffer
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
}
