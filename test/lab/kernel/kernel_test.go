package kernel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCmdline(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	tests := []struct {
		name string
		in   Config
		want string
	}{
		{
			name: "least",
			in:   Config{Init: "/bin/lab", Dir: "/d"},
			want: "rootfstype=hostfs rootflags=/ rw quiet seccomp=on init=/bin/lab mem=512M uml_dir=/d/ umid=uml con=null con0=null,fd:1",
		},
		{
			name: "streams",
			in:   Config{Init: "/i", Dir: "/d/", Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard},
			want: "rootfstype=hostfs rootflags=/ rw quiet seccomp=on init=/i mem=512M uml_dir=/d/ umid=uml con=null con0=null,fd:1" +
				" con1=fd:3,fd:4 con2=null,fd:5 con3=null,fd:6",
		},
		{
			name: "two devices and an environment",
			in: Config{
				Init: "/i", Dir: "/d", Memory: "1G", Env: []string{"A=b"},
				NICs: []NIC{{Socket: "/s0", MAC: mac}, {Socket: "/s1", MAC: mac, MTU: 9000}},
			},
			want: "rootfstype=hostfs rootflags=/ rw quiet seccomp=on init=/i mem=1G uml_dir=/d/ umid=uml con=null con0=null,fd:1" +
				" vec0:transport=bess,dst=/s0,depth=128,gro=1,mac=02:00:00:00:00:07" +
				" vec1:transport=bess,dst=/s1,depth=128,gro=1,mac=02:00:00:00:00:07,mtu=9000 A=b",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, strings.Join(cmdline(tt.in), " ")); diff != "" {
				t.Errorf("cmdline (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStartRefusesMissingFiles(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"no kernel", Config{Kernel: filepath.Join(dir, "none"), Init: dir, Dir: dir}},
		{"no init", Config{Kernel: dir, Init: filepath.Join(dir, "none"), Dir: dir}},
		{"relative dir", Config{Kernel: dir, Init: dir, Dir: "."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Start(t.Context(), tt.cfg); err == nil {
				t.Error("Start: no error")
			}
		})
	}
}

// duplex is one end of two pipes.
type duplex struct {
	io.Reader
	io.Writer
}

func TestFrames(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
	}{
		{"empty", []byte{}},
		{"short", []byte("hello\n")},
		{"one frame", bytes.Repeat([]byte{0}, maxFrame)},
		{"many frames", bytes.Repeat([]byte("\x00\xff\r\n\x04"), 2*maxFrame)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			demandR, demandW := io.Pipe()
			dataR, dataW := io.Pipe()
			sent := make(chan error, 1)
			go func() { sent <- WriteFrames(duplex{demandR, dataW}, bytes.NewReader(tt.in)) }()
			var got bytes.Buffer
			if err := ReadFrames(&got, duplex{dataR, demandW}); err != nil {
				t.Fatalf("ReadFrames: %v", err)
			}
			if err := <-sent; err != nil {
				t.Fatalf("WriteFrames: %v", err)
			}
			if !bytes.Equal(tt.in, got.Bytes()) {
				t.Errorf("got %d bytes, want the %d that were sent", got.Len(), len(tt.in))
			}
		})
	}
}

func TestReadFramesRefusesTooLong(t *testing.T) {
	err := ReadFrames(io.Discard, duplex{strings.NewReader("\xff\xff"), io.Discard})
	if !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("ReadFrames: %v, want %v", err, io.ErrShortBuffer)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var all bytes.Buffer
	c := &tail{next: &all}
	for range 3 {
		if _, err := c.Write(bytes.Repeat([]byte("x"), tailSize/2)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Write([]byte("end")); err != nil {
		t.Fatal(err)
	}
	got := c.String()
	if len(got) != tailSize || !strings.HasSuffix(got, "xend") {
		t.Errorf("tail holds %d bytes, ends in %q; want %d bytes", len(got), got[len(got)-4:], tailSize)
	}
	if want := 3*tailSize/2 + 3; all.Len() != want {
		t.Errorf("passed on %d bytes, want %d", all.Len(), want)
	}
}

func TestReadResult(t *testing.T) {
	tests := []struct {
		name    string
		file    string // "" is none
		want    int
		wantErr string // "" is none
	}{
		{name: "success", file: `{"code":0}`},
		{name: "failure", file: `{"code":7}`, want: 7},
		{name: "not run", file: `{"error":"no such program"}`, wantErr: "no such program"},
		{name: "cut off", file: `{"co`, wantErr: "reading the command's result"},
		{name: "none", wantErr: "powered off without a result"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), ResultFile)
			if tt.file != "" {
				if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := readResult(path, "console")
			if got != tt.want {
				t.Errorf("code %d, want %d", got, tt.want)
			}
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want one with %q", err, tt.wantErr)
			}
		})
	}
}

// A user-mode kernel may abort after it has powered down: it has done what it was asked to do.
func TestWait(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		panicked     bool
	}{
		{"powered off", "echo 'reboot: Power down'", false},
		{"aborted after it", "printf 'reboot: Power down\r\n'; kill -ABRT $$", false},
		{"aborted before it", "kill -ABRT $$", true},
		{"said more", "echo 'reboot: Power down'; echo 'Kernel panic'; kill -ABRT $$", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "linux")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			m, err := Start(t.Context(), Config{Kernel: path, Init: path, Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			var panicked *PanicError
			if err := m.Wait(); errors.As(err, &panicked) != tt.panicked || !tt.panicked && err != nil {
				t.Errorf("Wait: %v, want a PanicError: %t", err, tt.panicked)
			}
		})
	}
}
