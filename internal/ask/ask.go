// Package ask finds out on a node what `kubectl tombolo explain` wants to know: what the node's
// dataplane decides, what DNS answers, what can be connected to. It changes nothing.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/tombolo-net/tombolo/internal/explain"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// patience is how long each thing may take. A packet that is lost once is sent again after a second.
const patience = 1800 * time.Millisecond

// Asker finds out what it is asked.
type Asker struct {
	// Debug is where the dataplane's agent serves /explain (its --debug-address).
	Debug string // required
}

// Reply finds out everything at once.
func (a Asker) Reply(ctx context.Context, q explain.Question) explain.Reply {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	var r explain.Reply
	var all sync.WaitGroup
	if q.Import != "" {
		all.Go(func() {
			err := a.page(ctx, "/explain/"+q.Import, &r.Decision)
			var timeout net.Error
			switch {
			case err == nil:
				return
			case errors.As(err, &timeout) && timeout.Timeout():
				r.Silent = true
			}
			r.Decision, r.NoDecision = nil, err.Error()
		})
		all.Go(func() { _ = a.page(ctx, "/gateways", &r.Gateways) }) // an older agent has none
	}
	server := q.Server
	if server == "" && len(q.Names) > 0 {
		server = ownServer()
	}
	kinds := []uint16{dns.TypeA, dns.TypeAAAA}
	r.DNS = make([]explain.DNSReply, len(q.Names)*len(kinds))
	for i, name := range q.Names {
		for j, kind := range kinds {
			all.Go(func() { r.DNS[i*len(kinds)+j] = resolve(ctx, server, name, kind) })
		}
	}
	r.Connected = make([]explain.Connected, len(q.Connect))
	for i, to := range q.Connect {
		all.Go(func() { r.Connected[i] = connect(ctx, to) })
	}
	r.Sent = make([]explain.Connected, len(q.Datagrams))
	for i, to := range q.Datagrams {
		all.Go(func() { r.Sent[i] = send(ctx, to) })
	}
	r.Full = make([]explain.Full, len(q.Full))
	for i, to := range q.Full {
		all.Go(func() { r.Full[i] = full(ctx, to) })
	}
	all.Wait()
	r.NoIPv6 = rtnl.IPv6Off(vxlan.Name)
	return r
}

// page reads a page of the agent into answer.
func (a Asker) page(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Debug+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking the node's agent: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the agent's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return json.Unmarshal(text, answer)
}

// ownServer is the first DNS server that processes here ask; empty: there is none.
func ownServer() string {
	config, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(config.Servers) == 0 {
		return ""
	}
	return net.JoinHostPort(config.Servers[0], config.Port)
}

// resolve asks the server, and once more if it does not answer in time.
func resolve(ctx context.Context, server, name string, kind uint16) explain.DNSReply {
	r := explain.DNSReply{Name: name, Type: dns.TypeToString[kind]}
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), kind)
	client := dns.Client{Timeout: patience / 2}
	var answer *dns.Msg
	var err error
	for range 2 {
		if answer, _, err = client.ExchangeContext(ctx, question, server); err == nil {
			break
		}
	}
	if err != nil {
		r.Error = err.Error()
		return r
	}
	r.Code = dns.RcodeToString[answer.Rcode]
	for _, record := range answer.Answer {
		var ip net.IP
		switch record := record.(type) {
		case *dns.A:
			ip = record.A
		case *dns.AAAA:
			ip = record.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			r.Addresses = append(r.Addresses, a.Unmap())
		}
	}
	return r
}

// connect opens a TCP connection and closes it.
func connect(ctx context.Context, to string) explain.Connected {
	c := explain.Connected{To: to, Outcome: explain.Open}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err == nil {
		_ = conn.Close() // nothing was sent
		return c
	}
	c.Error, c.Outcome = err.Error(), why(err)
	return c
}

// send sends an empty datagram twice, and waits for whatever comes back.
func send(ctx context.Context, to string) explain.Connected {
	s := explain.Connected{To: to, Outcome: explain.Open}
	err := exchange(ctx, to)
	if err != nil {
		s.Error, s.Outcome = err.Error(), why(err)
	}
	return s
}

func exchange(ctx context.Context, to string) (err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	for range 2 {
		if _, err := conn.Write(nil); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(patience / 3)); err != nil {
			return err
		}
		if _, err = conn.Read(make([]byte, 1)); why(err) != explain.TimedOut {
			return err
		}
	}
	return err
}

// why is the outcome that an error stands for.
func why(err error) explain.Outcome {
	var timeout net.Error
	switch {
	case err == nil:
		return explain.Open
	case errors.Is(err, syscall.ECONNREFUSED):
		return explain.Refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return explain.TimedOut
	}
	return explain.Unreachable
}
