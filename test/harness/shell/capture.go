package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// capture is one process that writes frames to a file.
type capture struct {
	file string
	out  bool // the process writes to its standard output
	cmd  *exec.Cmd
	errs *bytes.Buffer
	end  func() error // asks the process to end
}

// Capture begins to write every frame between the nodes of two clusters to files in dir, in pcap's
// format. It returns the files once all have begun; stop ends the capture and returns when they are
// whole.
func (s Shell) Capture(ctx context.Context, dir, from, to string) (files []string, stop func() error, err error) {
	captures, err := s.captures(ctx, dir, from, to)
	if err != nil {
		return nil, nil, err
	}
	stop = func() error {
		var errs []error
		for _, c := range captures {
			if c.cmd.Process == nil {
				continue // not started
			}
			if err := c.end(); err != nil {
				errs = append(errs, err, c.cmd.Process.Kill()) // or the wait would have no end
			}
			if err := c.cmd.Wait(); err != nil {
				errs = append(errs, fmt.Errorf("capturing: %w: %s", err, c.errs))
			}
		}
		return errors.Join(errs...)
	}
	for _, c := range captures {
		if err := c.start(ctx); err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		files = append(files, c.file)
	}
	return files, stop, nil
}

// start starts the process. The pcap header is there as soon as it writes to the file.
func (c *capture) start(ctx context.Context) error {
	c.errs = &bytes.Buffer{}
	c.cmd.Stderr = c.errs
	if c.out {
		file, err := os.Create(c.file)
		if err != nil {
			return err
		}
		defer file.Close() // the process has its own
		c.cmd.Stdout = file
	}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("starting the capture: %w", err)
	}
	_, err := Eventually(ctx, 20*time.Second, func(context.Context) (string, error) {
		info, err := os.Stat(c.file)
		if err == nil && info.Size() < 24 {
			err = fmt.Errorf("the capture has not begun: %s", c.errs)
		}
		return "", err
	})
	return err
}

// captures are the processes to start: one of the lab's, which sees all frames, or a tcpdump on each
// node of the cluster from.
func (s Shell) captures(ctx context.Context, dir, from, to string) ([]*capture, error) {
	if s.lab != "" {
		c := &capture{file: filepath.Join(dir, "frames.pcap")}
		c.cmd = s.Lab(ctx, "net", "capture", "--write", c.file, from, to)
		c.end = func() error { return c.cmd.Process.Signal(syscall.SIGINT) }
		return []*capture{c}, nil
	}
	nodes, err := s.Nodes(ctx, from, "")
	if err != nil {
		return nil, err
	}
	out, err := s.Kubectl(ctx, to, "get", "nodes", "--output", `jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}`)
	if err != nil {
		return nil, err
	}
	filter := "host " + strings.Join(strings.Fields(out), " or host ")
	var all []*capture
	for _, node := range nodes {
		c := &capture{file: filepath.Join(dir, node+".pcap"), out: true}
		c.cmd = s.NodeCommand(ctx, node, "tcpdump", "-U", "-w", "-", "-i", "eth0", filter)
		c.end = func() error {
			_, err := s.OnNode(ctx, node, "sh", "-c", "kill -INT $(pidof tcpdump)")
			return err
		}
		all = append(all, c)
	}
	return all, nil
}
