package portprobe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/internal/echo"
)

// patience is how long an answer may take. A datagram is sent again meanwhile.
const patience = 3 * time.Second

// Taken says who has the port on a node, in the words of its kernel; empty: it is free.
func (c *Cluster) Taken(ctx context.Context, node string, port uint16) (string, error) {
	if err := c.ask(ctx, node, address(c.pods[node]), port); err == nil {
		return "", nil
	}
	p := &corev1.Pod{}
	if err := c.Get(ctx, client.ObjectKeyFromObject(c.pods[node]), p); err != nil {
		return "", fmt.Errorf("reading pod %s: %w", c.pods[node].Name, err)
	}
	for _, s := range p.Status.ContainerStatuses {
		if t := s.State.Terminated; s.Name == serverName(port) && t != nil {
			return t.Message, nil
		}
	}
	return "", nil // it listens; the node's own firewall drops what comes from itself
}

// Passes is an error if no datagram from a node to the port of another one, of this or another cluster,
// is answered.
func (c *Cluster) Passes(ctx context.Context, from string, other *Cluster, to string, port uint16) error {
	return c.ask(ctx, from, address(other.pods[to]), port)
}

// address is that of the pod's node.
func address(p *corev1.Pod) string { return p.Status.PodIP }

// ask asks the address and port from a node.
func (c *Cluster) ask(ctx context.Context, node, host string, port uint16) error {
	question, err := json.Marshal(echo.Question{Network: "udp", Host: host, Port: port, Count: 1, Patience: patience})
	if err != nil {
		return err
	}
	out, err := c.Exec(ctx, c.pods[node], bytes.NewReader(question), "/tombolo", "echo", "ask")
	if err != nil {
		return err
	}
	var r echo.Reply
	if err := json.Unmarshal(out, &r); err != nil {
		return fmt.Errorf("reading what node %s heard: %w", node, err)
	}
	if r.Error != "" {
		return errors.New(r.Error)
	}
	for _, h := range r.Heard {
		if h.Error != "" {
			return errors.New(h.Error)
		}
	}
	return nil
}
