package kernel

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// tailSize is how much of a console is kept for error texts, bytes.
const tailSize = 8 << 10

// tail keeps the last bytes written to it and passes all of them on.
type tail struct {
	next io.Writer // may be nil

	mu   sync.Mutex
	text []byte // guarded by mu
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	if t.next != nil {
		return t.next.Write(p)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// powerDown is the last line of a kernel that powers off: kernel_power_off in kernel/reboot.c.
const powerDown = "reboot: Power down"

// poweredDown reports whether the kernel has done all that a power-off asks of it. In about one of
// a thousand power-offs the process of a user-mode kernel aborts after that, on its way out. That
// concerns nobody.
func (t *tail) poweredDown() bool {
	return strings.HasSuffix(strings.TrimSpace(t.String()), powerDown)
}

// connect gives the kernel its pipes, those of streams that cfg lacks, too, so
// that the file descriptors' numbers are constant.
func (m *Machine) connect(cfg Config) error {
	if err := m.connectInput(cfg.Stdin); err != nil {
		return fmt.Errorf("making the standard input: %w", err)
	}
	for _, w := range []io.Writer{cfg.Stdout, cfg.Stderr} {
		if err := m.connectOutput(w); err != nil {
			return fmt.Errorf("making the standard output: %w", err)
		}
	}
	return nil
}

func (m *Machine) connectInput(stdin io.Reader) error {
	in, send, err := os.Pipe()
	if err != nil {
		return err
	}
	demand, ask, err := os.Pipe()
	if err != nil {
		return err
	}
	m.cmd.ExtraFiles = append(m.cmd.ExtraFiles, in, ask)
	m.closers = append(m.closers, send, demand)
	if stdin == nil {
		return nil
	}
	go func() { // ends with the stream, or with the kernel
		_ = WriteFrames(struct {
			io.Reader
			io.Writer
		}{demand, send}, stdin)
	}()
	return nil
}

func (m *Machine) connectOutput(w io.Writer) error {
	r, out, err := os.Pipe()
	if err != nil {
		return err
	}
	m.cmd.ExtraFiles = append(m.cmd.ExtraFiles, out)
	if w == nil {
		w = io.Discard
	}
	m.copies.Go(func() {
		defer r.Close()
		_, _ = io.Copy(w, r) // the caller's full disk or closed pipe does not concern the command
	})
	return nil
}
