package ipvs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// setting is a kernel parameter that the data path relies on.
type setting struct {
	path, value, why string
}

// settings, all of them per network namespace (Documentation/networking/ipvs-sysctl.rst).
// arp_ignore and arp_announce, which kube-proxy sets for its own mode, are not ours.
var settings = [...]setting{
	{"net/ipv4/vs/conntrack", "1", "so that netfilter sees the flows that IPVS serves and their source address can be kept"},
	{"net/ipv4/vs/expire_nodest_conn", "1", "so that a flow ends when its endpoint is removed"},
	{"net/ipv4/vs/expire_quiescent_template", "1", "so that a client moves on when its endpoint drains"},
}

// Sysctls are the kernel parameters that the data path relies on, in the network namespace of whoever
// first asks. The zero Sysctls is ready to use; it is not safe for concurrent use.
type Sysctls struct {
	// files are kept open: to look at them once a second then costs a system call each.
	files [len(settings)]*os.File
	buf   [16]byte
}

// Differ reports whether any of them is not as it should be, or cannot be read. It does not look at
// the timeout.
func (s *Sysctls) Differ() bool {
	for i := range settings {
		if have, err := s.read(i); err != nil || string(have) != settings[i].value {
			return true
		}
	}
	return false
}

// Set sets them, where they may be written: a container's /proc/sys is usually read-only, and then
// a privileged init step has set them. It also has IPVS remember silent TCP connections as long as
// connection tracking does, unless somebody chose a timeout. It returns a sentence for every parameter
// that is still different, with the remedy, and the names of those that it wrote.
func (s *Sysctls) Set() (drift, written []string) {
	for i, setting := range settings {
		have, err := s.read(i)
		if err != nil {
			drift = append(drift, fmt.Sprintf("reading sysctl %s: %v", setting.name(), err))
			continue
		}
		if string(have) == setting.value {
			continue
		}
		if err := setting.write(string(have)); err != nil {
			drift = append(drift, err.Error())
			continue
		}
		written = append(written, "sysctl "+setting.name())
	}
	extended, err := extendTimeout()
	if err != nil {
		drift = append(drift, err.Error())
	}
	if extended {
		written = append(written, "the timeout of IPVS for silent TCP connections")
	}
	return drift, written
}

// Close closes the files. They are opened again when they are needed.
func (s *Sysctls) Close() {
	for i := range s.files {
		s.close(i)
	}
}

func (s *Sysctls) close(i int) {
	if s.files[i] != nil {
		s.files[i].Close()
		s.files[i] = nil
	}
}

// read is the value of a setting, without spaces around it, until the next read. One that went with
// its module, and came again, is opened again.
func (s *Sysctls) read(i int) (value []byte, err error) {
	for range 2 {
		if s.files[i] == nil {
			if s.files[i], err = os.Open("/proc/sys/" + settings[i].path); err != nil {
				return nil, err
			}
		}
		n, readErr := unix.Pread(int(s.files[i].Fd()), s.buf[:], 0)
		if readErr == nil {
			return bytes.TrimSpace(s.buf[:n]), nil
		}
		err = os.NewSyscallError("pread", readErr)
		s.close(i)
	}
	return nil, err
}

func (s setting) name() string { return strings.ReplaceAll(s.path, "/", ".") }

func (s setting) write(have string) error {
	err := os.WriteFile("/proc/sys/"+s.path, []byte(s.value), 0)
	if err == nil {
		return nil
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("sysctl %s is %s, want %s, %s: set it on the host with `sysctl -w %s=%s` (%w)",
		s.name(), have, s.value, s.why, s.name(), s.value, err)
}
