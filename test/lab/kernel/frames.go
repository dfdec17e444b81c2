package kernel

import (
	"encoding/binary"
	"io"
)

// The standard input travels to the guest over a terminal. That has no end of
// file that could not also be data, and a user-mode kernel does not notice input
// that was there before its terminal was opened. So it goes in frames, a length
// of 2 bytes, big endian, and that many bytes, and only on demand: the guest
// asks for each frame with one byte. Length 0 is the end of the stream.
const maxFrame = 2048

// WriteFrames copies r to the guest at the other end of rw, one frame for each
// byte read from there, and then the closing frame.
func WriteFrames(rw io.ReadWriter, r io.Reader) error {
	buf := make([]byte, 2+maxFrame)
	for {
		n, err := r.Read(buf[2:])
		if err != nil && n == 0 {
			return writeFrame(rw, buf[:2]) // the end: whoever reads no further has no use for the reason
		}
		if err := writeFrame(rw, buf[:2+n]); err != nil {
			return err
		}
	}
}

// writeFrame sends the frame whose data starts at the third byte of buf, once
// it is asked for.
func writeFrame(rw io.ReadWriter, buf []byte) error {
	var demand [1]byte
	if _, err := io.ReadFull(rw, demand[:]); err != nil {
		return err
	}
	binary.BigEndian.PutUint16(buf, uint16(len(buf)-2))
	_, err := rw.Write(buf)
	return err
}

// ReadFrames asks for frames at rw and copies them to w, until the closing one.
func ReadFrames(w io.Writer, rw io.ReadWriter) error {
	var head [2]byte
	buf := make([]byte, maxFrame)
	for {
		if _, err := rw.Write([]byte{'+'}); err != nil {
			return err
		}
		if _, err := io.ReadFull(rw, head[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint16(head[:])
		if n == 0 {
			return nil
		}
		if n > maxFrame {
			return io.ErrShortBuffer
		}
		if _, err := io.ReadFull(rw, buf[:n]); err != nil {
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
}
