// Command load is what clients of a Service do while something is done to what serves it: requests
// at a fixed rate, each over a connection of its own; connections that live long; a flow of packets
// that are answered; and a stream of packets each way. It judges nothing: for every line on its standard input it prints a report.Report of all
// that it has begun before, as one line of JSON, and at the end of the input it ends. The command
// "load serve" answers.
//
// Both do all of their work in one thread, some times in a second: in a user-mode kernel system
// calls are dear, and changes from one process to another more so.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

const (
	// tick is how often clients look after what they have begun.
	tick = 20 * time.Millisecond
	// serverTick is how often a server looks: soon enough for an answer to go with the
	// acknowledgement of the question.
	serverTick = 10 * time.Millisecond
	// patience is how long a request may take, a connection be silent, and an answer to a packet be
	// on its way; and patientTicks is how often this process looks at least, since it may be this
	// process that does not get the CPU.
	patience, patientTicks = time.Minute, 200
	// niceness is the load's priority.
	niceness = 3
)

// options are the flags.
type options struct {
	requests, connections, packets, stream string
	rate, count                            int
	rest                                   time.Duration
	reopen                                 bool
}

func main() {
	runtime.GOMAXPROCS(1)
	// Where the CPU is short the load is lighter, and what is tested gets its share.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
	var o options
	c := &cobra.Command{
		Use:          "load",
		Short:        "Send requests, hold connections and send packets, and report on each line of standard input",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE:         func(*cobra.Command, []string) error { return o.run() },
	}
	c.Flags().StringVar(&o.requests, "requests", "", "address and port of an HTTP server; empty for none")
	c.Flags().IntVar(&o.rate, "rate", 200, "requests in a second")
	c.Flags().StringVar(&o.connections, "connections", "", "address and port of a server that answers each line with one that ends in the same word; empty for none")
	c.Flags().IntVar(&o.count, "count", 4, "how many connections")
	c.Flags().DurationVar(&o.rest, "rest", 100*time.Millisecond, "how long a connection rests between two exchanges")
	c.Flags().BoolVar(&o.reopen, "reopen", false, "after each report, open connections that broke again")
	c.Flags().StringVar(&o.stream, "stream", "", "address and port of a server, for packets every 2 ms each way; empty for none")
	c.Flags().StringVar(&o.packets, "packets", "", "address and port of a server that answers each packet with one that ends in the same word; empty for none")
	c.AddCommand(newServeCommand())
	if c.Execute() != nil {
		os.Exit(1)
	}
}

// wait is how long something has been waited for.
type wait struct {
	since time.Time
	ticks int
}

// over reports whether it has taken too long. It is called once in a tick.
func (w *wait) over(now time.Time) bool {
	w.ticks++
	return w.ticks > patientTicks && now.Sub(w.since) > patience
}

// clients of one kind. The time is now.
type clients interface {
	// work begins what is due and takes answers.
	work(now time.Time)
	// mark remembers what has been begun, settled reports whether all of that has ended, and report
	// adds the counts.
	mark()
	settled() bool
	report(*report.Report)
}

func (o options) run() error {
	all, err := o.start()
	if err != nil {
		return err
	}
	asked := make(chan bool)
	go func() {
		defer close(asked)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			asked <- true
		}
	}()
	out := json.NewEncoder(os.Stdout)
	waiting, step := false, o.step()
	for next, due := time.Now(), time.Now(); ; next = next.Add(step) {
		time.Sleep(time.Until(next))
		if late := time.Now(); late.Sub(next) > tick {
			next = late
		}
		all.stream(time.Now())
		if next.Before(due) {
			continue
		}
		due = next.Add(tick)
		all.work(time.Now())
		if waiting {
			if waiting = !all.report(out); waiting {
				continue
			}
		}
		select {
		case _, more := <-asked:
			if !more {
				return nil
			}
			for _, c := range all {
				c.mark()
			}
			waiting = true
		default:
		}
	}
}

// step is how often the process looks after what needs it most.
func (o options) step() time.Duration {
	if o.stream != "" {
		return every
	}
	return tick
}

// kinds are all clients.
type kinds []clients

// stream works on what cannot wait for the next tick.
func (k kinds) stream(now time.Time) {
	for _, c := range k {
		if s, ok := c.(*stream); ok {
			s.work(now)
		}
	}
}

// work works on the others.
func (k kinds) work(now time.Time) {
	for _, c := range k {
		if _, ok := c.(*stream); !ok {
			c.work(now)
		}
	}
}

// report reports if all that was marked has ended.
func (k kinds) report(out *json.Encoder) (done bool) {
	for _, c := range k {
		if !c.settled() {
			return false
		}
	}
	var r report.Report
	for _, c := range k {
		c.report(&r)
	}
	return out.Encode(r) == nil
}

func (o options) start() (all kinds, err error) {
	parse := func(text string) (to netip.AddrPort) {
		if text != "" && err == nil {
			if to, err = netip.ParseAddrPort(text); err != nil {
				err = fmt.Errorf("where to send: %w", err)
			}
		}
		return to
	}
	if to := parse(o.requests); to.IsValid() {
		all = append(all, &requests{to: to, interval: time.Second / time.Duration(o.rate), next: time.Now()})
	}
	if to := parse(o.connections); to.IsValid() {
		all = append(all, newConnections(to, o.count, max(1, int(o.rest/tick)), o.reopen))
	}
	if to := parse(o.packets); to.IsValid() {
		all = append(all, &packets{to: to, fd: -1, pending: map[int64]*wait{}})
	}
	if to := parse(o.stream); to.IsValid() {
		one, errStream := newStream(to)
		if errStream != nil {
			return nil, errStream
		}
		all = append(all, one)
	}
	return all, err
}
