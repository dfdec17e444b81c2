package main

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestLimitMemory(t *testing.T) {
	t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
	for _, tt := range []struct {
		name, limit, own string
		want             int64 // of Go's limit
		valid            bool
	}{
		{"no container", "", "", math.MaxInt64, true},
		{"1 GiB", "1073741824", "", 966367638, true},
		{"the admin's own", "1073741824", "300MiB", math.MaxInt64, true},
		{"a quantity", "1Gi", "", math.MaxInt64, false},
		{"nothing", "0", "", math.MaxInt64, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(memoryLimit, tt.limit)
			t.Setenv("GOMEMLIMIT", tt.own)
			debug.SetMemoryLimit(math.MaxInt64)
			if err := limitMemory(); (err == nil) != tt.valid {
				t.Errorf("got error %v, want valid %v", err, tt.valid)
			}
			if got := debug.SetMemoryLimit(-1); got != tt.want {
				t.Errorf("Go's limit is %d, want %d", got, tt.want)
			}
		})
	}
}
