package wireguard

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/tombolo-net/tombolo/test/bench/guest"
)

// sendInterval is how often the stream sends a packet.
const sendInterval = 2 * time.Millisecond

// stream sends packets from a to b through the tunnel, while during runs, and returns the longest
// time without one, beyond the interval that each is sent at.
func stream(ctx context.Context, during func() error) (gap time.Duration, err error) {
	sender, receiver, err := sockets()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	arrived := make(chan time.Duration, 1)
	sent := make(chan struct{})
	go func() { arrived <- longestSilence(receiver) }()
	go func() { defer close(sent); send(ctx, sender) }()
	err = during()
	cancel()
	<-sent
	_ = sender.Close()
	_ = receiver.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	gap = <-arrived
	_ = receiver.Close()
	return max(gap-sendInterval, 0), err
}

func sockets() (sender net.Conn, receiver net.PacketConn, err error) {
	_, b := nodes()
	address := net.JoinHostPort(b.address.String(), "7000")
	if err = guest.Inside("b", func() (err error) { receiver, err = net.ListenPacket("udp4", address); return err }); err != nil {
		return nil, nil, fmt.Errorf("opening the stream's receiver: %w", err)
	}
	if err = guest.Inside("a", func() (err error) { sender, err = net.Dial("udp4", address); return err }); err != nil {
		return nil, nil, fmt.Errorf("opening the stream's sender: %w", err)
	}
	return sender, receiver, nil
}

// send sends the times of sending; what is lost is lost.
func send(ctx context.Context, conn net.Conn) {
	ticker := time.NewTicker(sendInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			_, _ = conn.Write(binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano())))
		}
	}
}

// longestSilence is the longest time between the sendings of two packets that came one after the
// other. A receiver that is late changes nothing.
func longestSilence(conn net.PacketConn) (longest time.Duration) {
	var last int64
	for b := make([]byte, 64); ; {
		n, _, err := conn.ReadFrom(b)
		if err != nil {
			return longest
		}
		if n < 8 {
			continue
		}
		at := int64(binary.BigEndian.Uint64(b))
		if last != 0 {
			longest = max(longest, time.Duration(at-last))
		}
		last = at
	}
}
