//go:build kernel

package ipvs

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/internal/testnet"
)

// measurement is what TestMeasure prints, as one line of JSON after "measured: ".
type measurement struct {
	Services     int     `json:"services"`
	Destinations int     `json:"destinations_each"`
	ProgramS     float64 `json:"program_s"`
	ChangeMsP50  float64 `json:"change_one_p50_ms"`
	ChangeMsMax  float64 `json:"change_one_max_ms"`
	RepairMsP50  float64 `json:"repair_p50_ms"`
	ReadS        float64 `json:"read_all_s"`
	// HeapMB is the Go heap in use after it all.
	HeapMB float64 `json:"heap_mb"`
}

// TestMeasure programs many services from empty, changes one of them many times, and repairs. It asserts nothing about
// time: test/bench reads what it prints.
func TestMeasure(t *testing.T) {
	for _, size := range []struct{ services, destinations int }{{1000, 10}, {5000, 16}} {
		node := testnet.New(t)
		node.Do(func() {
			m := measure(t, size.services, size.destinations)
			line, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(os.Stdout, "measured: %s\n", line)
		})
	}
}

func measure(t *testing.T, services, destinations int) measurement {
	scope := scopeOf(map[Key]Service{})
	for i := range services {
		vip := netip.AddrFrom4([4]byte{244, 0, byte(i >> 8), byte(i)})
		s := Service{Scheduler: "wrr"}
		for j := range destinations {
			s.Destinations = append(s.Destinations, Destination{Address: netip.AddrFrom4([4]byte{10, byte(j), byte(i >> 8), byte(i)}), Port: 8080, Weight: 1})
		}
		scope.Wanted.Services[Key{Address: vip, Port: 80, Protocol: TCP}] = s
	}
	var table Table
	defer table.Close()
	m := measurement{Services: services, Destinations: destinations}
	m.ProgramS = timed(t, func() error { _, err := table.Sync(t.Context(), scope); return err }).Seconds()
	m.ReadS = timed(t, func() error { _, err := table.Sync(t.Context(), scope); return err }).Seconds()
	keys := scope.Wanted.Keys()
	var changes, repairs []time.Duration
	for i := range 100 {
		key := keys[i*services/100]
		s := scope.Wanted.Services[key]
		s.Destinations = slices.Clone(s.Destinations[1:])
		scope.Wanted.Services[key] = s
		changes = append(changes, timed(t, func() error { _, err := table.SyncKeys(t.Context(), scope, []Key{key}); return err }))
	}
	for range 20 {
		repairs = append(repairs, timed(t, func() error { _, err := table.Repair(t.Context(), scope, services/60); return err }))
	}
	slices.Sort(changes)
	slices.Sort(repairs)
	m.ChangeMsP50, m.ChangeMsMax = milliseconds(changes[len(changes)/2]), milliseconds(changes[len(changes)-1])
	m.RepairMsP50 = milliseconds(repairs[len(repairs)/2])
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m.HeapMB = float64(stats.HeapInuse) / 1e6
	return m
}

func timed(t *testing.T, do func() error) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
