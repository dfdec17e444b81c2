package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAvailable(t *testing.T) {
	got, ok := available("MemTotal:       24 kB\nMemAvailable:    2048 kB\n")
	if !ok || got != 2<<20 {
		t.Errorf("got %d, %v", got, ok)
	}
	if _, ok := available("MemTotal: 24 kB\n"); ok {
		t.Error("found what is not there")
	}
}

func TestBounded(t *testing.T) {
	for status, want := range map[string]bool{
		"CapBnd:\t000001ffffffffff\n":             true,
		"CapEff:\t0\nCapBnd:\t000001fffeffffff\n": false, // without bit 24
		"Name:\tx\n": true,
	} {
		if got := bounded(status, sysResource); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}

// Every refusal names what is missing and how to mend it.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name string
		err  error
		want string // "" for none
	}{
		{"memory", checkMemory(write("little", "MemAvailable: 1048576 kB\n")), "1024 MiB of memory are free: two clusters need 3072 MiB"},
		{"enough memory", checkMemory(write("much", "MemAvailable: 8388608 kB\n")), ""},
		{"sysctl", checkAtLeast(write("low", "128\n"), 256), "need 256: sudo sysctl -w "},
		{"enough", checkAtLeast(write("high", "256\n"), 256), ""},
		{"disk", checkDisk(filepath.Join(dir, "not", "there", "yet"), 1<<62), "MiB of the disk of " + dir + " are free"},
		{"enough disk", checkDisk(dir, 1), ""},
		{"tun", checkTun(filepath.Join(dir, "none")), "sudo modprobe tun"},
	} {
		if (tt.err == nil) != (tt.want == "") || tt.err != nil && !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, tt.err, tt.want)
		}
	}
}
