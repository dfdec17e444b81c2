package echo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// What a client may ask of a server after its answer, in one byte.
const (
	sendAlways = 's' // send until the client closes
	sendBack   = 'p' // send each byte back
)

const (
	// longest is how long a server obeys one client.
	longest = time.Minute
	// atOnce is how many connections are opened at a time.
	atOnce = 8
	// piece is how much is written or read at once, in bytes.
	piece = 64 << 10
)

// Task is what a client measures.
type Task struct {
	// Server is the address and port of a server.
	Server string `json:"server"`
	// Duration of each of the measurements.
	Duration time.Duration `json:"duration"`
}

// Figures are what was measured on one way.
type Figures struct {
	// BitsPerSecond that one connection carries from the server to the client.
	BitsPerSecond float64 `json:"bitsPerSecond"`
	// RoundTripSeconds is the median of a byte's way to the server and back, on an open connection.
	RoundTripSeconds float64 `json:"roundTripSeconds"`
	// ConnectionsPerSecond that are opened, answered and closed, eight at a time.
	ConnectionsPerSecond float64 `json:"connectionsPerSecond"`
}

// obey does what the client asks for, until it closes the connection.
func obey(conn net.Conn) {
	var command [1]byte
	if _, err := io.ReadFull(conn, command[:]); err != nil {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(longest))
	switch command[0] {
	case sendAlways:
		zeros := make([]byte, piece)
		for {
			if _, err := conn.Write(zeros); err != nil {
				return
			}
		}
	case sendBack:
		for {
			if _, err := io.ReadFull(conn, command[:]); err != nil {
				return
			}
			if _, err := conn.Write(command[:]); err != nil {
				return
			}
		}
	}
}

// Measure measures one thing after the other.
func Measure(ctx context.Context, task Task) (f Figures, err error) {
	for _, one := range []struct {
		what    string
		measure func(context.Context, Task) (float64, error)
		figure  *float64
	}{
		{"throughput", throughput, &f.BitsPerSecond}, {"round trips", roundTrip, &f.RoundTripSeconds}, {"connections", connections, &f.ConnectionsPerSecond},
	} {
		if *one.figure, err = one.measure(ctx, task); err != nil {
			return f, fmt.Errorf("measuring %s to %s: %w", one.what, task.Server, err)
		}
	}
	return f, nil
}

// open connects, and reads the server's answer.
func open(ctx context.Context, server string) (net.Conn, *bufio.Reader, error) {
	ctx, stop := context.WithTimeout(ctx, onePatience)
	defer stop()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(onePatience)); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	from := bufio.NewReaderSize(conn, piece)
	if _, err := from.ReadBytes('\n'); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("reading the server's answer: %w", err), conn.Close())
	}
	return conn, from, nil
}

// ask opens a connection and gives the server a command for that long.
func ask(ctx context.Context, task Task, command byte) (net.Conn, *bufio.Reader, error) {
	conn, from, err := open(ctx, task.Server)
	if err != nil {
		return nil, nil, err
	}
	if _, err := conn.Write([]byte{command}); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, from, conn.SetDeadline(time.Now().Add(task.Duration + onePatience))
}

// throughput is how many bits a second a connection carries to the client.
func throughput(ctx context.Context, task Task) (float64, error) {
	conn, from, err := ask(ctx, task, sendAlways)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	buffer := make([]byte, piece)
	began, bytes := time.Now(), 0
	for time.Since(began) < task.Duration {
		n, err := from.Read(buffer)
		if err != nil {
			return 0, err
		}
		bytes += n
	}
	return float64(8*bytes) / time.Since(began).Seconds(), nil
}

// roundTrip is the median of the round trips, in seconds.
func roundTrip(ctx context.Context, task Task) (float64, error) {
	conn, from, err := ask(ctx, task, sendBack)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	var trips []time.Duration
	for began := time.Now(); len(trips) == 0 || time.Since(began) < task.Duration; {
		left := time.Now()
		if _, err := conn.Write([]byte{0}); err != nil {
			return 0, err
		}
		if _, err := from.ReadByte(); err != nil {
			return 0, err
		}
		trips = append(trips, time.Since(left))
	}
	slices.Sort(trips)
	return trips[len(trips)/2].Seconds(), nil
}

// connections is how many connections a second are opened and answered.
func connections(ctx context.Context, task Task) (float64, error) {
	var done atomic.Int64
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for range atOnce {
		g.Go(func() error {
			for time.Since(began) < task.Duration {
				conn, _, err := open(ctx, task.Server)
				if err != nil {
					return err
				}
				done.Add(1)
				// A reset leaves no port behind that waits for a minute.
				if err := errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close()); err != nil { // what DialContext promises for tcp
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return float64(done.Load()) / time.Since(began).Seconds(), nil
}
