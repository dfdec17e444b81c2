//go:build kernel

package agent

import (
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestWatchRoutes: every kind of change that may be about our routes is told, also by a program that we know nothing of,
// and nothing is told of another network namespace.
func TestWatchRoutes(t *testing.T) {
	node, other := netns.New(t), netns.New(t)
	touched := make(chan struct{}, 1)
	var stop func()
	node.Do(func() {
		var err error
		stop, err = watchRoutes(func() {
			select {
			case touched <- struct{}{}:
			default:
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	told := func(why string) {
		t.Helper()
		select {
		case <-touched:
		case <-time.After(time.Minute):
			t.Fatalf("%s: not told", why)
		}
		for quiet := false; !quiet; {
			select {
			case <-touched:
			case <-time.After(200 * time.Millisecond):
				quiet = true
			}
		}
	}
	for _, args := range [][]string{
		{"link", "add", "d0", "type", "dummy"}, {"addr", "add", "192.0.2.1/24", "dev", "d0"}, {"link", "set", "d0", "up"},
		{"route", "add", "10.9.0.0/16", "via", "192.0.2.2", "table", "7474"}, {"route", "flush", "table", "7474"},
		{"rule", "add", "pref", "99", "lookup", "7474"}, {"-6", "rule", "add", "pref", "99", "lookup", "7474"},
		{"-6", "route", "add", "fd09::/64", "dev", "d0"}, {"link", "del", "d0"},
	} {
		node.Run("ip", args...)
		told("ip " + args[len(args)-1])
	}
	other.Run("ip", "link", "add", "d0", "type", "dummy")
	select {
	case <-touched:
		t.Error("told of another namespace")
	case <-time.After(200 * time.Millisecond):
	}
	stop()
	node.Run("ip", "link", "add", "d1", "type", "dummy")
	select {
	case <-touched:
		t.Error("told after stop")
	case <-time.After(200 * time.Millisecond):
	}
}
