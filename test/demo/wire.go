package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// inWireGuard sends requests and sees the counters of the importing cluster's gateways move, both
// ways.
func (e *Env) inWireGuard(ctx context.Context) (string, error) {
	gateways, err := e.Nodes(ctx, e.client, gatewayLabel)
	if err != nil {
		return "", err
	}
	beforeReceived, beforeSent, _, err := e.allCounters(ctx, gateways)
	if err != nil {
		return "", err
	}
	// Larger than probes and keepalives in the meantime by far.
	const count = 20
	if _, err := e.requests(ctx, count, "/"+strings.Repeat("x", payload)); err != nil {
		return "", err
	}
	received, sent, shown, err := e.allCounters(ctx, gateways)
	if err != nil {
		return "", err
	}
	names := strings.Join(gateways, ", ")
	if received-beforeReceived < count*100 || sent-beforeSent < count*payload {
		return "", fmt.Errorf("counters of %s moved by %d received, %d sent: less than the requests", names, received-beforeReceived, sent-beforeSent)
	}
	return fmt.Sprintf("%s: %d B more received, %d B more sent\n%s", names, received-beforeReceived, sent-beforeSent, shown), nil
}

// allCounters are the bytes received and sent by the nodes' peers in all, and `wg show` of the first.
func (e *Env) allCounters(ctx context.Context, nodes []string) (received, sent int, shown string, err error) {
	for i, node := range nodes {
		r, s, text, err := e.wireguardCounters(ctx, node)
		if err != nil {
			return 0, 0, "", err
		}
		received, sent = received+r, sent+s
		if i == 0 {
			shown = text
		}
	}
	return received, sent, shown, nil
}

// wireguardCounters are the bytes received and sent by all peers of a node, as wg shows them, and
// `wg show` itself. wg does not reach the WireGuard that an agent runs: then they are those of the
// tunnels' devices.
func (e *Env) wireguardCounters(ctx context.Context, node string) (received, sent int, shown string, err error) {
	transfer, err := e.OnNode(ctx, node, "wg", "show", "all", "transfer")
	if err == nil && strings.TrimSpace(transfer) == "" {
		return e.deviceCounters(ctx, node)
	}
	if err != nil {
		return 0, 0, "", err
	}
	received, sent, err = sum(transfer, 2, 3)
	if err != nil {
		return 0, 0, "", fmt.Errorf("parsing `wg show all transfer` of %s: %w", node, err)
	}
	shown, err = e.OnNode(ctx, node, "wg", "show")
	return received, sent, strings.TrimSpace(shown), err
}

// deviceCounters are the bytes received and sent by the devices of all tunnels of a node.
func (e *Env) deviceCounters(ctx context.Context, node string) (received, sent int, shown string, err error) {
	shown, err = e.OnNode(ctx, node, "sh", "-c", `cd /sys/class/net && for d in tombolo[0-9]*; do
		echo "$d $(cat $d/statistics/rx_bytes $d/statistics/tx_bytes | xargs) B received, sent; $(cat $d/tun_flags)"
	done`)
	if err != nil {
		return 0, 0, "", err
	}
	received, sent, err = sum(shown, 1, 2)
	if err != nil {
		return 0, 0, "", fmt.Errorf("parsing the devices' counters of %s: %w", node, err)
	}
	return received, sent, strings.TrimSpace(shown), nil
}

// sum adds up two columns of a table.
func sum(table string, received, sent int) (r, s int, err error) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) <= max(received, sent) {
			continue
		}
		more, errR := strconv.Atoi(f[received])
		too, errS := strconv.Atoi(f[sent])
		if err := errors.Join(errR, errS); err != nil {
			return 0, 0, err
		}
		r, s = r+more, s+too
	}
	return r, s, nil
}

// encrypted captures every frame between the nodes of both clusters while a request with a known
// text is answered. A second text is sent in clear, from node to node: the capture must hold that
// one, or it would prove nothing.
func (e *Env) encrypted(ctx context.Context) (string, error) {
	const secret, control = "tombolo-secret-7473", "tombolo-control-7473"
	dir, err := os.MkdirTemp("", "tombolo-demo-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	files, stop, err := e.Capture(ctx, dir, e.client, e.server)
	if err != nil {
		return "", err
	}
	errRequest := e.sendBoth(ctx, secret, control)
	if err := errors.Join(errRequest, stop()); err != nil {
		return "", err
	}
	frames, packets, err := captured(ctx, files)
	if err != nil {
		return "", err
	}
	switch {
	case packets < 10:
		return "", fmt.Errorf("the capture holds %d WireGuard data packets, want at least 10", packets)
	case !bytes.Contains(frames, []byte(control)):
		return "", errors.New("the capture does not hold the text that was sent in clear: it proves nothing")
	case bytes.Contains(frames, []byte(secret)):
		return "", fmt.Errorf("the capture holds the request in clear: %q", secret)
	}
	return fmt.Sprintf("%d bytes captured: %d WireGuard data packets; %q (through the tunnel) is not in them, %q (sent beside it) is",
		len(frames), packets, secret, control), nil
}

// sendBoth sends the secret through the exported Service and the control text straight from node to
// node.
func (e *Env) sendBoth(ctx context.Context, secret, control string) error {
	if _, err := e.requests(ctx, 5, "/"+secret); err != nil {
		return err
	}
	servers, err := e.Kubectl(ctx, e.server, "get", "nodes", "--output", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	if err != nil {
		return err
	}
	all, err := addresses(servers)
	if err != nil {
		return err
	}
	to, err := ofFamily(all, e.vips[0])
	if err != nil {
		return err
	}
	kind := "UDP6-SENDTO"
	if to.Is4() {
		kind = "UDP4-SENDTO"
	}
	_, err = e.OnNode(ctx, e.clientNode, "sh", "-c", fmt.Sprintf("echo %s | socat - %s:%s", control, kind, netip.AddrPortFrom(to, 9)))
	return err
}

// captured reads captures: the frames, and how many of them are WireGuard data.
func captured(ctx context.Context, files []string) (frames []byte, packets int, err error) {
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, 0, err
		}
		frames = append(frames, content...)
		// Type 4 (transport data) in the first byte of the payload, three reserved zero bytes after it.
		// tcpdump's udp[...] is of IPv4 alone.
		out, err := shell.Run(ctx, "", "tcpdump", "-nn", "-r", file,
			"udp portrange 51820-51883 and (udp[8:4] = 0x04000000 or ip6[48:4] = 0x04000000)")
		if err != nil {
			return nil, 0, err
		}
		packets += strings.Count(out, "\n")
	}
	return frames, packets, nil
}
