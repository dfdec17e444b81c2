package underlay

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

const (
	// captureBytes bounds what waits for a capture's writer.
	captureBytes = 32 << 20
	// pcapMagic is the first word of a capture file whose times are in nanoseconds, see
	// pcap-savefile(5).
	pcapMagic = 0xa1b23c4d
	// pcapEthernet is LINKTYPE_ETHERNET.
	pcapEthernet = 1
)

// Capture is a recording of the frames that pass between some pairs of ports. It begins when it is
// made.
type Capture struct {
	sw    *Switch
	pairs []Pair

	mu     sync.Mutex
	frames queue // guarded by mu
	missed int   // guarded by mu
	wake   chan struct{}
}

// Capture begins to record the frames that pass between any of pairs, those that a fault drops left
// out; without pairs, between all ports but the host's. A flooded frame is recorded once. What is
// recorded waits, up to 32 MiB, until Run writes it. It ends with ErrUnknownPort if there is no
// port of a name in pairs.
func (s *Switch) Capture(pairs ...Pair) (*Capture, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, pair := range pairs {
		if err := s.known(pair.A, pair.B); err != nil {
			return nil, fmt.Errorf("capturing frames between %q and %q: %w", pair.A, pair.B, err)
		}
	}
	if len(pairs) == 0 {
		pairs = []Pair{{}}
	}
	c := &Capture{sw: s, pairs: slices.Clone(pairs), frames: queue{pool: &s.frames, limit: captureBytes}, wake: make(chan struct{}, 1)}
	s.captures = append(s.captures, c)
	return c, nil
}

// Run writes the recording to w as a pcap stream (nanoseconds, Ethernet), each frame soon after it
// has passed, until ctx ends; then it ends the recording, writes the rest and returns nil. It ends
// with an error if w does, or if frames came faster than w took them: then it says how many are
// missing.
func (c *Capture) Run(ctx context.Context, w io.Writer) error {
	defer c.stop()
	if _, err := w.Write(pcapHeader()); err != nil {
		return fmt.Errorf("writing capture: %w", err)
	}
	var list []*buffer
	for {
		ended := ctx.Err() != nil
		if ended {
			c.stop()
		}
		list = c.take(list)
		err := c.write(w, list)
		c.frames.free(list)
		if err != nil {
			return fmt.Errorf("writing capture: %w", err)
		}
		if ended {
			return c.complete()
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
	}
}

// wants says whether frames between ports a and b are recorded.
func (c *Capture) wants(a, b string) bool {
	return slices.ContainsFunc(c.pairs, func(p Pair) bool { return p.matches(a, b) })
}

// record keeps a copy of frame for Run.
func (c *Capture) record(now time.Time, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.frames.push(frame, now) {
		c.missed++
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// stop ends the recording; it may be called again.
func (c *Capture) stop() {
	c.sw.mu.Lock()
	defer c.sw.mu.Unlock()
	c.sw.captures = slices.DeleteFunc(slices.Clone(c.sw.captures), func(other *Capture) bool { return other == c })
}

func (c *Capture) take(list []*buffer) []*buffer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames.take(list)
}

// complete ends with an error if frames are missing.
func (c *Capture) complete() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.missed > 0 {
		return fmt.Errorf("writing capture: %d frames are missing, the writer was too slow", c.missed)
	}
	return nil
}

// write writes the frames of list, in one call.
func (c *Capture) write(w io.Writer, list []*buffer) error {
	if len(list) == 0 {
		return nil
	}
	var out []byte
	for _, b := range list {
		out = binary.LittleEndian.AppendUint32(out, uint32(b.at.Unix()))
		out = binary.LittleEndian.AppendUint32(out, uint32(b.at.Nanosecond()))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(b.data)))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(b.data)))
		out = append(out, b.data...)
	}
	_, err := w.Write(out)
	return err
}

// pcapHeader returns the header of a capture file, version 2.4.
func pcapHeader() []byte {
	var h []byte
	h = binary.LittleEndian.AppendUint32(h, pcapMagic)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = binary.LittleEndian.AppendUint64(h, 0) // time zone and accuracy, always 0
	h = binary.LittleEndian.AppendUint32(h, maxFrame)
	return binary.LittleEndian.AppendUint32(h, pcapEthernet)
}
