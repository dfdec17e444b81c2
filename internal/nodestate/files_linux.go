package nodestate

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// IPVS prints the kernel's table of virtual services, with addresses as people write them. A kernel
// without IPVS has none.
func IPVS(out io.Writer) error {
	f, err := os.Open("/proc/net/ip_vs")
	if errors.Is(err, fs.ErrNotExist) {
		_, err := fmt.Fprintln(out, "the kernel has no IPVS table")
		return err
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fmt.Fprintln(out, readable(lines.Text()))
	}
	return lines.Err()
}

// hexPair is an IPv4 address and a port as the kernel prints them in /proc/net/ip_vs
// (net/netfilter/ipvs/ip_vs_ctl.c). It prints IPv6 addresses as people do, and only their port so.
var (
	hexPair = regexp.MustCompile(`\b[0-9A-F]{8}:[0-9A-F]{4}\b`)
	hexPort = regexp.MustCompile(`\]:[0-9A-F]{4}\b`)
)

func readable(line string) string {
	line = hexPair.ReplaceAllStringFunc(line, func(pair string) string {
		raw, err := hex.DecodeString(pair[:8])
		if err != nil {
			return pair
		}
		addr, _ := netip.AddrFromSlice(raw)
		return addr.String() + ":" + decimal(pair[9:])
	})
	return hexPort.ReplaceAllStringFunc(line, func(port string) string { return "]:" + decimal(port[2:]) })
}

func decimal(port string) string {
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return port
	}
	return strconv.FormatUint(n, 10)
}

// settings are the files below /proc/sys that decide about the way of packets.
var settings = []string{
	"kernel/osrelease", "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/disable_ipv6",
	"net/ipv4/conf/*/rp_filter", "net/ipv4/conf/tombolo*/*", "net/bridge/*", "net/ipv4/vs/*",
	"net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_tcp_be_liberal",
	"net/ipv4/ip_local_port_range", "net/ipv4/ip_local_reserved_ports", "net/core/rmem_max", "net/core/netdev_max_backlog",
}

// others are files below /proc that say what the kernel has, and which ports are taken.
var others = []string{"modules", "net/udp", "net/udp6", "net/softnet_stat", "net/snmp", "loadavg", "meminfo"}

// Settings prints what of /proc matters to tombolo. What a kernel does not have is left out.
func Settings(out io.Writer) error {
	for _, pattern := range settings {
		paths, err := filepath.Glob("/proc/sys/" + pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // some may be written only
			}
			fmt.Fprintf(out, "%s = %s\n", strings.TrimPrefix(path, "/proc/sys/"), strings.TrimSpace(string(text)))
		}
	}
	for _, name := range others {
		text, err := os.ReadFile("/proc/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n/proc/%s:\n%s", name, text)
	}
	return nil
}
