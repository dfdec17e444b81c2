package rtnl

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ipv6Settings is the folder of the kernel's settings of IPv6, in the network namespace of the
// thread that opens it. A kernel without IPv6 has no such folder.
const ipv6Settings = "/proc/sys/net/ipv6"

// Families are the address families of which this kernel can list and change routes and rules.
// Asked for another one, it may answer with those of all families (rtnl_dump_all in
// net/core/rtnetlink.c).
func Families() []int {
	if _, err := os.Stat(ipv6Settings); err != nil {
		return []int{unix.AF_INET}
	}
	return []int{unix.AF_INET, unix.AF_INET6}
}

// IPv6Off says why devices of ours, whose names begin so, cannot have IPv6 in this network
// namespace, and what would turn it on; empty if they can.
func IPv6Off(devices string) (why string) {
	if len(Families()) == 1 {
		return "the kernel has no IPv6: it was started with ipv6.disable=1"
	}
	folders := []string{"all", "default"} // a new device begins with default
	names, err := filepath.Glob(filepath.Join(ipv6Settings, "conf", devices+"*"))
	if err == nil {
		for _, name := range names {
			folders = append(folders, filepath.Base(name))
		}
	}
	for _, folder := range folders {
		value, err := os.ReadFile(filepath.Join(ipv6Settings, "conf", folder, "disable_ipv6"))
		if err == nil && strings.TrimSpace(string(value)) == "1" {
			return "net.ipv6.conf." + folder + ".disable_ipv6 is 1"
		}
	}
	return ""
}
