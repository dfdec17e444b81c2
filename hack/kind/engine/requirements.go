package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What two clusters with tombolo and the tests' pods take, with some air.
const (
	needMemory    = 3 << 30 // bytes
	needInstances = 128     // of inotify: kubelet, containerd and systemd of four nodes share one limit
	needWatches   = 65536
	needDisk      = 5 << 30 // bytes: 0.7 GB for a node, as much for their image, and while that is built
)

// requirements returns all that this machine lacks, each with its remedy. On other systems than
// Linux, Docker runs in a machine of its own, which is not looked at.
func requirements() error {
	if runtime.GOOS != "linux" {
		return nil
	}
	return errors.Join(
		checkMemory("/proc/meminfo"),
		checkAtLeast("/proc/sys/fs/inotify/max_user_instances", needInstances),
		checkAtLeast("/proc/sys/fs/inotify/max_user_watches", needWatches),
		checkTun("/dev/net/tun"),
		checkDisk(dataRoot, needDisk),
	)
}

func checkMemory(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	free, ok := available(string(text))
	if ok && free < needMemory {
		return fmt.Errorf("%d MiB of memory are free: two clusters need %d MiB; end other programs", free>>20, int64(needMemory)>>20)
	}
	return nil
}

// available reads MemAvailable, in bytes.
func available(meminfo string) (int64, bool) {
	for line := range strings.Lines(meminfo) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}

// checkAtLeast wants a sysctl to have at least this value.
func checkAtLeast(path string, least int64) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	have, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || have >= least {
		return err
	}
	name := strings.ReplaceAll(strings.TrimPrefix(path, "/proc/sys/"), "/", ".")
	return fmt.Errorf("%s is %d, four nodes need %d: sudo sysctl -w %s=%d", name, have, least, name, least*2)
}

// checkTun wants the device file that a gateway's WireGuard runs on.
func checkTun(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("the gateways need %s: sudo modprobe tun: %w", path, err)
	}
	return nil
}

// dataRoot is where Docker keeps images and containers, unless it is told otherwise.
const dataRoot = "/var/lib/docker"

// checkDisk wants so many bytes to be free in the folder, which need not be there yet.
func checkDisk(folder string, least uint64) error {
	var disk unix.Statfs_t
	for err := unix.Statfs(folder, &disk); err != nil; err = unix.Statfs(folder, &disk) {
		if !errors.Is(err, fs.ErrNotExist) || folder == filepath.Dir(folder) {
			return fmt.Errorf("reading how much of the disk of %s is free: %w", folder, err)
		}
		folder = filepath.Dir(folder)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < least {
		return fmt.Errorf("%d MiB of the disk of %s are free: four nodes need %d MiB; delete files, or have Docker delete what it does not use: docker system prune", free>>20, folder, least>>20)
	}
	return nil
}

// sysResource is the number of CAP_SYS_RESOURCE.
const sysResource = 24

// hasSysResource says whether a process here may have CAP_SYS_RESOURCE.
func hasSysResource() bool {
	text, err := os.ReadFile("/proc/self/status")
	return err != nil || bounded(string(text), sysResource)
}

// bounded reads from a process's status whether the capability of this number is in its bounding
// set.
func bounded(status string, capability uint) bool {
	for line := range strings.Lines(status) {
		if text, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return err != nil || set&(1<<capability) != 0
		}
	}
	return true
}
