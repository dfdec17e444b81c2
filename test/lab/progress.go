package lab

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress tells a person what the lab is doing. It is safe for concurrent use.
type progress struct {
	begun time.Time

	mu  sync.Mutex
	out io.Writer // guarded by mu
}

func newProgress(out io.Writer) *progress {
	return &progress{begun: time.Now(), out: out}
}

// say prints a line with the time since the start.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "[%5.1fs] %s\n", time.Since(p.begun).Seconds(), fmt.Sprintf(format, args...))
}

// reminder is how often a step that takes long says so.
const reminder = 10 * time.Second

// step announces what takes usual long as a rule, and reminds of it until the returned function is
// called with the step's result. waiting, if not nil, says what is still missing.
func (p *progress) step(what string, usual time.Duration, waiting func() string) func(error) {
	begun := time.Now()
	p.say("%s (usually %.0f s)", what, usual.Seconds())
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(reminder)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				p.say("%s: %.0f s so far%s", what, time.Since(begun).Seconds(), missing(waiting))
			}
		}
	}()
	return func(err error) {
		close(stop)
		<-stopped
		if err == nil {
			p.say("%s: done in %.1f s", what, time.Since(begun).Seconds())
		} else {
			p.say("%s: not done after %.1f s%s", what, time.Since(begun).Seconds(), missing(waiting))
		}
	}
}

func missing(waiting func() string) string {
	if waiting == nil {
		return ""
	}
	if what := waiting(); what != "" {
		return ", waiting for " + what
	}
	return ""
}

// progressWriter passes on what others have to say, line by line.
type progressWriter struct{ p *progress }

func (w progressWriter) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		w.p.say("%s", strings.TrimSuffix(line, "\n"))
	}
	return len(text), nil
}
