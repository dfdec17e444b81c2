package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/test/bench/figures"
)

const (
	programServices  = 1000
	programEndpoints = 10
	programChanges   = 100
)

// newProgramCommand makes the command that runs in a kernel of its own and prints figures as JSON.
func newProgramCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "program",
		Short:  "Program virtual services from empty, change one again and again, and print how long it took",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := program(cmd.Context())
			if err != nil {
				return err
			}
			return json.NewEncoder(os.Stdout).Encode(f)
		},
	}
}

// program runs the measurement in a kernel of its own, where nothing else works.
func (b *bench) program(ctx context.Context) error {
	out, err := b.Lab(ctx, "kernel", "--", b.self, "program").Output()
	if err != nil {
		return fmt.Errorf("running the measurement in a kernel: %w: %s", err, out)
	}
	var f figures.List
	if err := json.Unmarshal(out, &f); err != nil {
		return fmt.Errorf("parsing %q: %w", out, err)
	}
	b.figures = append(b.figures, f...)
	return nil
}

// program fills the kernel's table and changes one endpoint of one service at a time, each as the agent does it.
func program(ctx context.Context) (figures.List, error) {
	scope := ipvs.Scope{VIPs: []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")}, Wanted: manyServices()}
	var table ipvs.Table
	defer table.Close()
	start := time.Now()
	if _, err := table.Sync(ctx, scope); err != nil {
		return nil, err
	}
	var f figures.List
	f.Add("program_1000_vips_s", time.Since(start).Seconds(), "s")
	var took []time.Duration
	for _, key := range scope.Wanted.Keys()[:programChanges] {
		service := scope.Wanted.Services[key]
		service.Destinations = service.Destinations[1:]
		scope.Wanted.Services[key] = service
		start := time.Now()
		if _, err := table.SyncKeys(ctx, scope, []ipvs.Key{key}); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	f.Add("change_one_of_1000_vips_ms", figures.Milliseconds(figures.Quantile(took, 0.5)), "ms")
	f.Add("change_one_of_1000_vips_p99_ms", figures.Milliseconds(figures.Quantile(took, 0.99)), "ms")
	start = time.Now()
	result, err := table.Repair(ctx, scope, programServices/30)
	if err != nil || !result.Change.Empty() {
		return nil, fmt.Errorf("the table is not as it was programmed: %d operations: %w", len(result.Change.Operations), err)
	}
	f.Add("check_1000_vips_ms", figures.Milliseconds(time.Since(start)), "ms")
	resident, err := residentBytes()
	f.Add("program_1000_vips_rss_mb", resident/1e6, "MB")
	return f, err
}

func manyServices() ipvs.Config {
	config := ipvs.Config{Services: map[ipvs.Key]ipvs.Service{}}
	vip, endpoint := netip.MustParseAddr("244.0.0.1"), netip.MustParseAddr("10.1.0.1")
	for range programServices {
		service := ipvs.Service{Scheduler: "wrr"}
		for range programEndpoints {
			service.Destinations = append(service.Destinations, ipvs.Destination{Address: endpoint, Port: 8080, Weight: 1})
			endpoint = endpoint.Next()
		}
		config.Services[ipvs.Key{Address: vip, Port: 80, Protocol: ipvs.TCP}] = service
		vip = vip.Next()
	}
	return config
}

// residentBytes is the memory that this process holds, after a collection (proc(5), statm).
func residentBytes() (float64, error) {
	runtime.GC()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0, fmt.Errorf("reading /proc/self/statm: %q", data)
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()), err
}
