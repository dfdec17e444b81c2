package exchange

import (
	"io"
	"net"
	"testing"
)

func TestProxyCounts(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go func() {
		conn, err := target.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.ReadFull(conn, make([]byte, 5))
		_, _ = conn.Write([]byte("answer!"))
	}()
	p, err := newProxy(target.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "answer!" {
		t.Errorf("got %q, %v", got, err)
	}
	p.close()
	if up, down := p.traffic(); up != 5 || down != 7 {
		t.Errorf("got %d bytes up and %d down, want 5 and 7", up, down)
	}
}
