// Command echo answers with what it saw of a request: its own name (the pod's), the client's
// address and the request's path.
//
//	GET /path      ->  echo-7f9c 10.2.0.7:41234 /path
//	TCP, UDP line  ->  echo-7f9c 10.2.0.7:41234 line
//
// Request headers come back with ?headers; /healthz answers 200 without a body.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	httpAddress := flag.String("http", ":8080", "address of the HTTP server, empty for none")
	tcpAddress := flag.String("tcp", "", "address of the TCP server, empty for none")
	udpAddress := flag.String("udp", "", "address of the UDP server, empty for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	name, err := os.Hostname()
	if err != nil {
		log.Fatalf("asking for the host's name: %v", err)
	}
	ended := make(chan error, 3)
	start := func(address string, serve func(ctx context.Context, name, address string) error) {
		if address != "" {
			go func() { ended <- serve(ctx, name, address) }()
		}
	}
	start(*httpAddress, serveHTTP)
	start(*tcpAddress, serveTCP)
	start(*udpAddress, serveUDP)
	select {
	case err := <-ended:
		log.Fatal(err)
	case <-ctx.Done():
	}
}

func serveHTTP(_ context.Context, name, address string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "%s %s %s\n", name, r.RemoteAddr, r.URL.Path)
		if r.URL.Query().Has("headers") {
			_ = r.Header.Write(w)
		}
	})
	if err := http.ListenAndServe(address, mux); err != nil {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	return nil
}

func serveTCP(ctx context.Context, name, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("serving TCP: %w", err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		go echoLines(conn, name)
	}
}

func echoLines(conn net.Conn, name string) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if _, err := fmt.Fprintf(conn, "%s %s %s\n", name, conn.RemoteAddr(), lines.Text()); err != nil {
			return
		}
	}
}

// serveUDP answers from the address that was asked only where the kernel picks it: the pod's one
// address.
func serveUDP(ctx context.Context, name, address string) error {
	conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", address)
	if err != nil {
		return fmt.Errorf("serving UDP: %w", err)
	}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("reading: %w", err)
		}
		if err != nil { // an ICMP error for an earlier answer
			continue
		}
		if _, err := conn.WriteTo(fmt.Appendf(nil, "%s %s %s", name, from, buf[:n]), from); err != nil {
			log.Printf("answering %s: %v", from, err)
		}
	}
}
