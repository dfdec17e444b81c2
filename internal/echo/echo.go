// Package echo is the server and the client of `kubectl tombolo verify` and `bench`. The server tells
// who asked and who answers, and then sends as much as the client wants. The client asks a name as any
// pod does, or measures. Both run in pods of tombolo's image.
package echo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// Answer is what a server says, on one line of JSON.
type Answer struct {
	// Pod is the name of the pod that answers.
	Pod string `json:"pod"`
	// Client is the IP address that the server sees.
	Client string `json:"client"`
}

// Question is what a client asks.
type Question struct {
	// Network is tcp or udp.
	Network string `json:"network"`
	// Host is a name, or an IP address.
	Host string `json:"host"`
	Port uint16 `json:"port"`
	// Count is how often each address is asked, each time by another connection or socket.
	Count int `json:"count"`
	// Patience is how long the name may take to resolve, and each address to answer for the first
	// time.
	Patience time.Duration `json:"patience"`
}

// Reply is what a client found out.
type Reply struct {
	// Addresses that the name resolves to, and that this pod can ask.
	Addresses []string `json:"addresses"`
	// Heard is one for each time that was asked.
	Heard []Heard `json:"heard"`
	// Error says why nothing could be asked; empty: something was.
	Error string `json:"error,omitempty"`
}

// Heard is one answer, or why there was none.
type Heard struct {
	Address string `json:"address"`
	Answer  Answer `json:"answer"`
	Error   string `json:"error,omitempty"`
}

// ServeUDP answers at a UDP port of all addresses until ctx ends. Port 0 is any that is free.
func ServeUDP(ctx context.Context, pod string, port uint16) error {
	var config net.ListenConfig
	datagrams, err := config.ListenPacket(ctx, "udp", net.JoinHostPort("", strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = datagrams.Close() })()
	return ended(ctx, serveUDP(datagrams, pod))
}

// Serve answers at a TCP and a UDP port of all addresses until ctx ends.
func Serve(ctx context.Context, pod string, port uint16) error {
	address := net.JoinHostPort("", strconv.Itoa(int(port)))
	var config net.ListenConfig
	stream, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	datagrams, err := config.ListenPacket(ctx, "udp", address)
	if err != nil {
		return errors.Join(err, stream.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		return errors.Join(stream.Close(), datagrams.Close())
	})
	g.Go(func() error { return ended(ctx, serveTCP(stream, pod)) })
	g.Go(func() error { return ended(ctx, serveUDP(datagrams, pod)) })
	return g.Wait()
}

// ended is the error unless the end was asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func serveTCP(listener net.Listener, pod string) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(onePatience))
			if _, err := conn.Write(answerTo(conn.RemoteAddr(), pod)); err != nil {
				return // a client that has gone asks again
			}
			obey(conn)
		}()
	}
}

func serveUDP(conn net.PacketConn, pod string) error {
	buffer := make([]byte, 64)
	for {
		_, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		_, _ = conn.WriteTo(answerTo(from, pod), from) // an answer that is lost is asked for again
	}
}

func answerTo(client net.Addr, pod string) []byte {
	host, _, err := net.SplitHostPort(client.String())
	if err != nil {
		host = client.String()
	}
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String() // IPv4 clients of a socket for both families
	}
	text, err := json.Marshal(Answer{Pod: pod, Client: host})
	if err != nil {
		text = []byte(fmt.Sprintf("%q", err.Error()))
	}
	return append(text, '\n')
}
