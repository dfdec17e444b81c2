package node

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// The answer of POST /exec is a series of frames: 1 byte that names the channel,
// 4 bytes of length, big endian, and that many bytes. The last one is on
// channelExit: an exitMessage as JSON.
const (
	channelStdout = 1
	channelStderr = 2
	channelExit   = 3

	headerSize = 5
)

// exitMessage is how a command ended.
type exitMessage struct {
	Code  int    `json:"code"`            // 128 + n when signal n ended it
	Error string `json:"error,omitempty"` // why it did not run
}

// streamWriter writes frames, each at once. It is safe for concurrent use.
type streamWriter struct {
	mu      sync.Mutex
	w       http.ResponseWriter // guarded by mu
	control *http.ResponseController
}

func newStreamWriter(w http.ResponseWriter) *streamWriter {
	return &streamWriter{w: w, control: http.NewResponseController(w)}
}

func (s *streamWriter) write(channel byte, p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := append(make([]byte, 0, headerSize), channel)
	head = binary.BigEndian.AppendUint32(head, uint32(len(p)))
	if _, err := s.w.Write(append(head, p...)); err != nil {
		return err
	}
	return s.control.Flush()
}

// exit writes the last frame.
func (s *streamWriter) exit(code int, err error) error {
	m := exitMessage{Code: code}
	if err != nil {
		m.Error = err.Error()
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.write(channelExit, text)
}

// channel returns a writer of frames for a channel.
func (s *streamWriter) channel(c byte) io.Writer { return channelWriter{s, c} }

type channelWriter struct {
	stream  *streamWriter
	channel byte
}

func (w channelWriter) Write(p []byte) (int, error) {
	if err := w.stream.write(w.channel, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// errCut is how a stream ends that its sender did not finish.
var errCut = errors.New("the node ended the answer before the command's exit code")

// readStream copies frames to stdout and stderr, and returns the exit code.
func readStream(r io.Reader, stdout, stderr io.Writer) (int, error) {
	in := bufio.NewReader(r)
	var head [headerSize]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return 0, errCut
		}
		frame := io.LimitReader(in, int64(binary.BigEndian.Uint32(head[1:])))
		switch head[0] {
		case channelStdout:
			if _, err := io.Copy(stdout, frame); err != nil {
				return 0, fmt.Errorf("passing on the command's output: %w", err)
			}
		case channelStderr:
			if _, err := io.Copy(stderr, frame); err != nil {
				return 0, fmt.Errorf("passing on the command's output: %w", err)
			}
		case channelExit:
			return readExit(frame)
		default:
			return 0, fmt.Errorf("unknown channel %d in the node's answer", head[0])
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

// copyInput is io.Copy without its short cuts: each read is passed on at once.
func copyInput(w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 16<<10))
}
