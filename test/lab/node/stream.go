package node

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// upgradeName is the protocol that POST /exec switches to: frames both ways, 1
// byte that names the channel, 4 bytes of length, big endian, and that many
// bytes. An empty frame on channelStdin is the end of the input. The last frame
// from the node is on channelExit, an exitMessage as JSON.
const upgradeName = "lab-exec"

const (
	channelStdin  = 0
	channelStdout = 1
	channelStderr = 2
	channelExit   = 3

	headerSize = 5
	// bufferSize is how much of the input goes into one frame at most, bytes.
	bufferSize = 32 << 10
)

// exitMessage is how a command ended.
type exitMessage struct {
	Code  int    `json:"code"`            // 128 + n when signal n ended it
	Error string `json:"error,omitempty"` // why it did not run
}

// frameWriter writes frames, each at once. It is safe for concurrent use.
type frameWriter struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (f *frameWriter) write(channel byte, p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	frame := make([]byte, 0, headerSize+len(p))
	frame = append(frame, channel)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(p)))
	_, err := f.w.Write(append(frame, p...))
	return err
}

// writeExit writes the last frame.
func (f *frameWriter) writeExit(code int, err error) error {
	m := exitMessage{Code: code}
	if err != nil {
		m.Error = err.Error()
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return f.write(channelExit, text)
}

// channel returns a writer of frames for a channel.
func (f *frameWriter) channel(c byte) io.Writer { return channelWriter{f, c} }

type channelWriter struct {
	frames  *frameWriter
	channel byte
}

func (w channelWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := w.frames.write(w.channel, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeStdin sends r as a command's input, and its end.
func writeStdin(f *frameWriter, r io.Reader) {
	if r != nil {
		// Without the short cuts of io.Copy: each read is passed on at once.
		w := struct{ io.Writer }{f.channel(channelStdin)}
		_, _ = io.CopyBuffer(w, struct{ io.Reader }{r}, make([]byte, bufferSize))
	}
	_ = f.write(channelStdin, nil) // a connection that is gone shows where the answer is read
}

// readStdin copies a command's input to w, closes w, and returns when the
// connection behind r has ended. Input that nobody reads any more is dropped.
func readStdin(r io.Reader, w io.WriteCloser) {
	defer w.Close()
	for {
		_, frame, err := readFrame(r)
		if err != nil {
			return
		}
		if n, _ := io.Copy(w, frame); n == 0 {
			w.Close()
		}
		if _, err := io.Copy(io.Discard, frame); err != nil {
			return
		}
	}
}

// readFrame returns a frame's channel and content, to be read before the next.
func readFrame(r io.Reader) (byte, io.Reader, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	return head[0], io.LimitReader(r, int64(binary.BigEndian.Uint32(head[1:]))), nil
}

// errCut is how a stream ends that its sender did not finish.
var errCut = errors.New("the node ended the answer before the command's exit code")

// readOutput copies frames to stdout and stderr, and returns the exit code.
func readOutput(r io.Reader, stdout, stderr io.Writer) (int, error) {
	in := bufio.NewReader(r)
	for {
		channel, frame, err := readFrame(in)
		if err != nil {
			return 0, errCut
		}
		switch channel {
		case channelStdout:
			_, err = io.Copy(stdout, frame)
		case channelStderr:
			_, err = io.Copy(stderr, frame)
		case channelExit:
			return readExit(frame)
		default:
			err = fmt.Errorf("unknown channel %d", channel)
		}
		if err != nil {
			return 0, fmt.Errorf("passing on the command's output: %w", err)
		}
	}
}

func readExit(r io.Reader) (int, error) {
	var m exitMessage
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		return 0, errCut
	}
	if m.Error != "" {
		return 0, errors.New(m.Error)
	}
	return m.Code, nil
}
