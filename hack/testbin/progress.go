package testbin

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// How often a long step shows that it lives.
const (
	ttyInterval  = time.Second
	lineInterval = 15 * time.Second
)

// progress writes what is done, for a person who waits: on a terminal one line
// that renews itself, elsewhere a line now and then.
type progress struct {
	out io.Writer
	tty bool

	mu     sync.Mutex // guards out and active
	active []*step    // in the order in which they began
}

// say writes a line of its own.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, p.clear()+"testbin: "+format+"\n", args...)
}

// status shows s. On a terminal it writes the line that the next status or say
// replaces, which names every step if there are several.
func (p *progress) status(s *step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, end := s.line(), "\n"
	if p.tty {
		end = ""
	}
	if p.tty && len(p.active) > 1 {
		line = p.all()
	}
	fmt.Fprint(p.out, p.clear()+"testbin: "+line+end)
}

// all is, for example, "building kube-apiserver (1m20s so far), linux-uml (30s
// so far)". The caller holds p.mu.
func (p *progress) all() string {
	var each []string
	for _, s := range p.active {
		name, _, _ := strings.Cut(s.title, " ")
		each = append(each, name+" ("+short(time.Since(s.start).Truncate(time.Second))+" so far)")
	}
	return "building " + strings.Join(each, ", ")
}

// clear is what removes the status line from a terminal (ECMA-48, EL).
func (p *progress) clear() string {
	if p.tty {
		return "\r\x1b[K"
	}
	return ""
}

// step is one long piece of work that is being shown.
type step struct {
	p     *progress
	title string
	usual time.Duration // 0: not known
	start time.Time
	stop  chan struct{}
	done  chan struct{}

	mu    sync.Mutex // guards phase
	phase string
}

// begin shows a step until end is called.
func (p *progress) begin(title, phase string, usual time.Duration) *step {
	s := &step{p: p, title: title, phase: phase, usual: usual, start: time.Now(),
		stop: make(chan struct{}), done: make(chan struct{})}
	p.mu.Lock()
	p.active = append(p.active, s)
	p.mu.Unlock()
	p.status(s)
	go s.show()
	return s
}

func (s *step) show() {
	defer close(s.done)
	interval := lineInterval
	if s.p.tty {
		interval = ttyInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.p.status(s)
		}
	}
}

// setPhase changes what the step is said to be doing. Without a terminal it
// shows with the next line.
func (s *step) setPhase(phase string) {
	s.mu.Lock()
	changed := s.phase != phase
	s.phase = phase
	s.mu.Unlock()
	if changed && s.p.tty {
		s.p.status(s)
	}
}

// end stops showing the step and returns how long it took.
func (s *step) end() time.Duration {
	close(s.stop)
	<-s.done
	s.p.mu.Lock()
	s.p.active = slices.DeleteFunc(s.p.active, func(other *step) bool { return other == s })
	s.p.mu.Unlock()
	return time.Since(s.start)
}

// line reads, for example, "kube-apiserver v1.36.3: building from source,
// 1m20s so far, usually 4m".
func (s *step) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.title + ": " + s.phase
	if so := time.Since(s.start).Truncate(time.Second); so > 0 {
		line += ", " + short(so) + " so far"
	}
	if s.usual > 0 {
		line += ", usually " + short(s.usual)
	}
	return line
}

// short prints a duration without zero units at its end: 4m, 1m20s, 8s; below
// a second 0.4s.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	switch min, sec := int(d/time.Minute), int(d%time.Minute/time.Second); {
	case min == 0:
		return fmt.Sprintf("%ds", sec)
	case sec == 0:
		return fmt.Sprintf("%dm", min)
	default:
		return fmt.Sprintf("%dm%ds", min, sec)
	}
}
