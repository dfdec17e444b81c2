// Command load is what clients of a Service do while something is done to what serves it: requests
// at a fixed rate, each over a connection of its own; connections that live long; and a flow of
// packets. It judges nothing: for every line on its standard input it prints a report.Report of all
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
	// pace is how many ticks a connection rests between two exchanges.
	pace = 5
	// patience is how long a request may take, a connection be silent, and an answer to a packet be
	// on its way; and patientTicks is how often this process looks at least, since it may be this
	// process that does not get the CPU.
	patience, patientTicks = time.Minute, 200
	// niceness is the load's priority.
	niceness = 3
)

// options are the flags.
type options struct {
	requests, connections, packets string
	rate, count                    int
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
	waiting := false
	for next := time.Now(); ; next = next.Add(tick) {
		time.Sleep(time.Until(next))
		if late := time.Now(); late.Sub(next) > tick {
			next = late
		}
		for _, c := range all {
			c.work(time.Now())
		}
		if waiting {
			if waiting = !report1(all, out); waiting {
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

// report1 reports if all that was marked has ended.
func report1(all []clients, out *json.Encoder) (done bool) {
	var r report.Report
	for _, c := range all {
		if !c.settled() {
			return false
		}
		c.report(&r)
	}
	return out.Encode(r) == nil
}

func (o options) start() (all []clients, err error) {
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
		all = append(all, newConnections(to, o.count))
	}
	if to := parse(o.packets); to.IsValid() {
		all = append(all, &packets{to: to, fd: -1, pending: map[int64]*wait{}})
	}
	return all, err
}
