package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxFiles is the limit of open files for all processes: what systemd gives.
const maxFiles = 1 << 20

// Prepare sets what every machine has: a host name, the loopback device, limits.
func Prepare(hostname string) error {
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("setting the host name %s: %w", hostname, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	// syscall's, not unix's: children get the raised limit only this way.
	limit := &syscall.Rlimit{Cur: maxFiles, Max: maxFiles}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, limit); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	return os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost "+hostname+"\n::1 localhost\n"), 0o644)
}

// Sysctl sets kernel parameters, keys with dots or with slashes.
func Sysctl(values map[string]string) error {
	var errs []error
	for key, value := range values {
		if !strings.Contains(key, "/") {
			key = strings.ReplaceAll(key, ".", "/")
		}
		if err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("setting %s to %s: %w", key, value, err))
		}
	}
	return errors.Join(errs...)
}

// PowerOff ends the kernel. It does not return.
func PowerOff() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // a PID 1 that returns is a kernel panic
}
