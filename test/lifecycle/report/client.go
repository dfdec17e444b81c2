package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// patience is how long an answer may take: some times as long as load itself waits for what it has
// begun.
const patience = 3 * time.Minute

// Client is a load that runs. It is not safe for concurrent use.
type Client struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	answers *json.Decoder
}

// Start starts the command, which runs load, here or elsewhere. Whoever starts it must End or Kill
// it.
func Start(command *exec.Cmd) (*Client, error) {
	command.Stderr = os.Stderr
	stdin, errIn := command.StdinPipe()
	stdout, errOut := command.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting the load: %w", err)
	}
	return &Client{command: command, stdin: stdin, answers: json.NewDecoder(stdout)}, nil
}

// Report returns what became of all that the load began before. A load that takes too long for that
// is made to print what it waits for, and ends.
func (c *Client) Report() (r Report, err error) {
	if _, err := io.WriteString(c.stdin, "\n"); err != nil {
		return r, fmt.Errorf("asking the load: %w", err)
	}
	quit := time.AfterFunc(patience, func() { _ = c.Signal(syscall.SIGQUIT) })
	defer quit.Stop()
	if err := c.answers.Decode(&r); err != nil {
		return r, fmt.Errorf("asking the load: %w", err)
	}
	return r, nil
}

// Signal sends a signal to the process of the command.
func (c *Client) Signal(s os.Signal) error { return c.command.Process.Signal(s) }

// End closes the load's input and waits for its end. The error is how it ended.
func (c *Client) End() error { return errors.Join(c.stdin.Close(), c.command.Wait()) }

// Kill ends the process of the command at once, if it still runs. A load that it runs elsewhere
// ends by itself.
func (c *Client) Kill() {
	_ = c.stdin.Close() // a load elsewhere sees that, and no signal
	_ = c.command.Process.Kill()
	_ = c.command.Wait() // killed
}
