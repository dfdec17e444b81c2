package echo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"
)

// onePatience is how long one answer may take. A lost packet of a connection is sent again after one
// and three seconds (RFC 6298).
const onePatience = 5 * time.Second

// pause is between two attempts while patience lasts.
const pause = 200 * time.Millisecond

// Ask asks what the question says. What fails is in the reply.
func Ask(ctx context.Context, q Question) Reply {
	within, stop := context.WithTimeout(ctx, q.Patience)
	defer stop()
	addresses, err := resolve(within, q.Host)
	if err != nil {
		return Reply{Error: err.Error()}
	}
	r := Reply{Addresses: addresses}
	for _, address := range addresses {
		to := net.JoinHostPort(address, strconv.Itoa(int(q.Port)))
		if err := first(within, q.Network, to); err != nil {
			r.Heard = append(r.Heard, Heard{Address: address, Error: err.Error()})
			continue
		}
		for range q.Count {
			heard := Heard{Address: address}
			if heard.Answer, err = once(ctx, q.Network, to); err != nil {
				heard.Error = err.Error()
			}
			r.Heard = append(r.Heard, heard)
		}
	}
	return r
}

// resolve returns the addresses of a name, sorted, of the IP families that this pod has.
func resolve(ctx context.Context, host string) ([]string, error) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	has := map[bool]bool{} // IPv4 or not
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			has[n.IP.To4() != nil] = true
		}
	}
	for {
		all, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
		var found []string
		for _, ip := range all {
			if has[ip.To4() != nil] {
				found = append(found, ip.String())
			}
		}
		if len(found) > 0 {
			slices.Sort(found)
			return slices.Compact(found), nil
		}
		if err == nil {
			err = fmt.Errorf("%s resolves to %v, and this pod has no address of that IP family", host, all)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// first returns when the address has answered once, or with its last error when ctx ends.
func first(ctx context.Context, network, to string) error {
	for {
		_, err := once(ctx, network, to)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// once asks once, from a port of its own. A datagram that is lost is sent again.
func once(ctx context.Context, network, to string) (Answer, error) {
	ctx, stop := context.WithTimeout(ctx, onePatience)
	defer stop()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, to)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	if network == "tcp" {
		return read(ctx, conn, onePatience)
	}
	var errs error
	for range 3 {
		if _, err := conn.Write([]byte("?\n")); err != nil {
			return Answer{}, err
		}
		answer, err := read(ctx, conn, onePatience/3)
		if err == nil {
			return answer, nil
		}
		errs = err
	}
	return Answer{}, errs
}

func read(ctx context.Context, conn net.Conn, patience time.Duration) (Answer, error) {
	until := time.Now().Add(patience)
	if limit, ok := ctx.Deadline(); ok && limit.Before(until) {
		until = limit
	}
	if err := conn.SetReadDeadline(until); err != nil {
		return Answer{}, err
	}
	buffer := make([]byte, 1024)
	n, err := conn.Read(buffer)
	if err != nil {
		return Answer{}, err
	}
	var answer Answer
	if err := json.Unmarshal(buffer[:n], &answer); err != nil {
		return Answer{}, errors.Join(fmt.Errorf("somebody else answers: %q", buffer[:n]), err)
	}
	return answer, nil
}
