package underlay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// record is a frame as a capture file has it.
type record struct {
	At      time.Duration // since the bubble's beginning
	Payload string
}

// parse reads a capture file by pcap-savefile(5).
func parse(t *testing.T, file []byte, begin time.Time) []record {
	t.Helper()
	if len(file) < 24 || binary.LittleEndian.Uint32(file) != 0xa1b23c4d || binary.LittleEndian.Uint32(file[20:]) != 1 {
		t.Fatalf("no capture file of Ethernet frames with nanoseconds: % x", file[:min(len(file), 24)])
	}
	var records []record
	for rest := file[24:]; len(rest) > 0; {
		at := time.Unix(int64(binary.LittleEndian.Uint32(rest)), int64(binary.LittleEndian.Uint32(rest[4:])))
		size := binary.LittleEndian.Uint32(rest[8:])
		if original := binary.LittleEndian.Uint32(rest[12:]); original != size {
			t.Fatalf("a frame of %d bytes has only %d in the file", original, size)
		}
		records = append(records, record{At: at.Sub(begin), Payload: string(rest[16+headerSize : 16+size])})
		rest = rest[16+size:]
	}
	return records
}

func TestCapture(t *testing.T) {
	for _, test := range []struct {
		name  string
		pairs []Pair
		want  []record
	}{
		{"all nodes", nil, []record{{0, "to all"}, {time.Second, "a to b"}, {2 * time.Second, "c to a"}}},
		{"one pair", []Pair{{"b", "a"}}, []record{{0, "to all"}, {time.Second, "a to b"}}},
		{"two pairs", []Pair{{"b", "c"}, {"a", "c"}}, []record{{0, "to all"}, {2 * time.Second, "c to a"}}},
		{"one with all", []Pair{{"b", "*"}}, []record{{0, "to all"}, {time.Second, "a to b"}}},
		{"with the host", []Pair{{"a", HostPort}}, []record{{0, "to all"}, {3 * time.Second, "a to host"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSegment(t, "a", "b", "c", HostPort)
				begin := time.Now()
				macHost := mac{2, 0, 0, 0, 0, 0xf}
				for _, tt := range []struct {
					name    string
					address mac
				}{{"b", macB}, {"c", macC}, {HostPort, macHost}} {
					s.send(tt.name, frame(broadcast, tt.address, "before"))
				}
				c, err := s.Capture(test.pairs...)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var file bytes.Buffer
				ended := make(chan error)
				go func() { ended <- c.Run(ctx, &file) }()
				for i, f := range [][]byte{frame(broadcast, macA, "to all"), frame(macB, macA, "a to b"), frame(macA, macC, "c to a"), frame(macHost, macA, "a to host")} {
					s.send([]string{"a", "a", "c", "a"}[i], f)
					time.Sleep(time.Second)
				}
				if diff := cmp.Diff(test.want, parse(t, file.Bytes(), begin)); diff != "" {
					t.Errorf("while it runs (-want +got):\n%s", diff)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("Run: %v", err)
				}
				s.send("a", frame(broadcast, macA, "after"))
				if diff := cmp.Diff(test.want, parse(t, file.Bytes(), begin)); diff != "" {
					t.Errorf("after its end (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Frames that a fault drops were not on the wire.
func TestCaptureLeavesOutDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		c, err := s.Capture()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Cut("a", "b", Selection{}); err != nil {
			t.Fatal(err)
		}
		s.send("a", frame(macB, macA, "x"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var file bytes.Buffer
		if err := c.Run(ctx, &file); err != nil {
			t.Fatal(err)
		}
		if records := parse(t, file.Bytes(), time.Now()); len(records) > 0 {
			t.Errorf("captured %v, want nothing", records)
		}
	})
}

func TestCaptureErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		c, err := s.Capture()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context(), failingWriter{}); !errors.Is(err, errFull) {
			t.Errorf("Run with a writer that fails: %v, want %v", err, errFull)
		}
		if c, err = s.Capture(); err != nil {
			t.Fatal(err)
		}
		large := frame(macB, macA, string(make([]byte, 1<<16-1)))
		for range captureBytes/len(large) + 2 {
			s.send("a", large)
			s.received()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ctx, &bytes.Buffer{}); err == nil {
			t.Error("Run says nothing of frames that are missing")
		}
	})
}

var errFull = errors.New("full")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }
