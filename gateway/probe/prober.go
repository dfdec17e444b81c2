package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Conn is a UDP socket that is bound to this gateway's tunnel address and Port. Listen opens one.
type Conn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
	// Refused returns the addresses whose kernel has said since the last call that no process listens
	// there.
	Refused() []netip.Addr
	Close() error
}

// Config is what a Prober is made of.
type Config struct {
	// PrivateKey is this gateway's WireGuard key.
	PrivateKey [32]byte // required
	// Conn belongs to the Prober once Run has begun: Run closes it.
	Conn Conn // required
	// OnChange is called when a link's state has changed, or what its other end says of itself, from
	// Run's goroutines. It must not block.
	OnChange func() // optional
}

// Prober probes links and answers the probes of others. It is safe for concurrent use.
type Prober struct {
	cfg     Config
	session uint64
	// announce is told when this end has something to say that should not wait for the next probe.
	announce chan struct{}

	mu sync.Mutex
	// byAddress and byName hold the same links. Guarded by mu, and so are the links and what follows.
	byAddress map[netip.Addr]*link
	byName    map[string]*link
	interval  time.Duration
	draining  bool
	reached   Members
	// late are the times at which this process did not get to run in time.
	late recent
}

// New returns a Prober without peers. It does nothing before Run.
func New(cfg Config) *Prober {
	var session [8]byte
	_, _ = rand.Read(session[:]) // it never fails: crypto/rand ends the process first
	return &Prober{
		cfg: cfg, session: binary.BigEndian.Uint64(session[:]), announce: make(chan struct{}, 1),
		byAddress: map[netip.Addr]*link{}, byName: map[string]*link{}, interval: Interval,
	}
}

// SetPeers makes the peers the ones to probe. A peer with the name, address and key of one that is
// there keeps its state; InUse counts for new ones only. The error names the peers that cannot be
// probed. The others are probed.
func (p *Prober) SetPeers(peers []Peer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interval = Interval; len(peers) > manyLinks {
		p.interval = LongInterval
	}
	old := p.byName
	p.byName, p.byAddress = make(map[string]*link, len(peers)), make(map[netip.Addr]*link, len(peers))
	var errs []error
	for _, peer := range peers {
		l, err := p.linkFor(peer, old[peer.Name])
		if err != nil {
			errs = append(errs, fmt.Errorf("probing %s: %w", peer.Name, err))
			continue
		}
		l.interval = p.interval
		p.byName[peer.Name], p.byAddress[peer.Address] = l, l
	}
	return errors.Join(errs...)
}

func (p *Prober) linkFor(peer Peer, old *link) (*link, error) {
	if old != nil && old.peer.Address == peer.Address && old.peer.PublicKey == peer.PublicKey && old.peer.Sibling == peer.Sibling {
		old.peer.Group = peer.Group
		return old, nil
	}
	key, err := linkKey(p.cfg.PrivateKey, peer.PublicKey, peer.Sibling)
	if err != nil {
		return nil, err
	}
	return newLink(peer, key, time.Now()), nil
}

// SetDraining says to all peers whether flows should leave this gateway, from now on.
func (p *Prober) SetDraining(draining bool) {
	p.mu.Lock()
	changed := p.draining != draining
	p.draining = draining
	p.mu.Unlock()
	if changed {
		p.sayNow()
	}
}

// SetReached says to the siblings which clusters this gateway reaches, from now on.
func (p *Prober) SetReached(reached Members) {
	p.mu.Lock()
	changed := p.reached != reached
	p.reached = reached
	p.mu.Unlock()
	if changed {
		p.sayNow()
	}
}

func (p *Prober) sayNow() {
	select {
	case p.announce <- struct{}{}:
	default:
	}
}

// Statuses returns the state of the links, by the peers' names.
func (p *Prober) Statuses() map[string]Status {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	statuses := make(map[string]Status, len(p.byName))
	for name, l := range p.byName {
		s := l.statusAt(now)
		s.Late = p.late.count(now)
		statuses[name] = s
	}
	return statuses
}

// Run probes and answers until ctx ends; then it returns nil. It closes the Conn.
func (p *Prober) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		<-ctx.Done()
		return p.cfg.Conn.Close()
	})
	group.Go(func() error { return p.receive(ctx) })
	group.Go(func() error { p.watch(ctx); return nil })
	return group.Wait()
}

// receive answers requests and counts replies until the Conn is closed. It goes on after an ICMP
// error that the socket reports.
func (p *Prober) receive(ctx context.Context) error {
	b := make([]byte, siblingSize+1)
	for {
		n, from, err := p.cfg.Conn.ReadFromUDPAddrPort(b)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end was asked for, and closes the Conn
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("reading probes: %w", err)
		}
		if err == nil {
			p.handle(b[:n], from)
		}
	}
}

func (p *Prober) handle(b []byte, from netip.AddrPort) {
	now := time.Now()
	p.mu.Lock()
	l, ok := p.byAddress[from.Addr().Unmap()]
	if !ok {
		p.mu.Unlock()
		return
	}
	got, err := decode(b, l.key, l.peer.Sibling)
	if err != nil || got.kind == reply && got.session != p.session {
		p.mu.Unlock()
		return
	}
	changed := l.told(got, now)
	if got.kind == reply {
		changed = l.answered(got.sequence, p.alone(l), now) || changed
	}
	answer := p.answer(l, got).encode(l.key)
	p.mu.Unlock()
	if changed {
		p.changed() // it does not block, and routes come before answers
	}
	if got.kind == request {
		_, _ = p.cfg.Conn.WriteToUDPAddrPort(answer, from)
	}
}

// answer is the reply to a request. Only who sent flags gets any.
func (p *Prober) answer(l *link, to packet) packet {
	to.kind = reply
	if to.flags&fromRequester != 0 {
		to.flags = fromReplier | p.says(l)
	}
	if l.peer.Sibling {
		to.reached = &p.reached
	}
	return to
}

// says are the flags for the other end of a link. Callers hold mu.
func (p *Prober) says(l *link) flags {
	var says flags
	if l.own == v1alpha1.LinkDown {
		says |= saysDown
	}
	if p.draining {
		says |= saysDraining
	}
	return says
}

// alone reports whether no other link of l's group is up. Callers hold mu.
func (p *Prober) alone(l *link) bool {
	for _, other := range p.byName {
		if other != l && other.peer.Group == l.peer.Group && other.status.State == v1alpha1.LinkUp {
			return false
		}
	}
	return true
}

func (p *Prober) changed() {
	if p.cfg.OnChange != nil {
		p.cfg.OnChange()
	}
}
