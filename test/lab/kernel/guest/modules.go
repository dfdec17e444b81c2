package guest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// builtin are the modules that programs ask modprobe for, by the option of the
// kernel's configuration that builds each in. modprobe succeeds for what
// modules.builtin lists, and fails for everything else, as on a host.
var builtin = map[string]string{
	"CONFIG_IP_VS":                  "kernel/net/netfilter/ipvs/ip_vs.ko",
	"CONFIG_IP_VS_RR":               "kernel/net/netfilter/ipvs/ip_vs_rr.ko",
	"CONFIG_IP_VS_WRR":              "kernel/net/netfilter/ipvs/ip_vs_wrr.ko",
	"CONFIG_IP_VS_LC":               "kernel/net/netfilter/ipvs/ip_vs_lc.ko",
	"CONFIG_IP_VS_WLC":              "kernel/net/netfilter/ipvs/ip_vs_wlc.ko",
	"CONFIG_IP_VS_SH":               "kernel/net/netfilter/ipvs/ip_vs_sh.ko",
	"CONFIG_IP_VS_MH":               "kernel/net/netfilter/ipvs/ip_vs_mh.ko",
	"CONFIG_IP_VS_SED":              "kernel/net/netfilter/ipvs/ip_vs_sed.ko",
	"CONFIG_IP_VS_NQ":               "kernel/net/netfilter/ipvs/ip_vs_nq.ko",
	"CONFIG_NF_CONNTRACK":           "kernel/net/netfilter/nf_conntrack.ko",
	"CONFIG_NF_TABLES":              "kernel/net/netfilter/nf_tables.ko",
	"CONFIG_NF_NAT":                 "kernel/net/netfilter/nf_nat.ko",
	"CONFIG_IP_NF_IPTABLES":         "kernel/net/ipv4/netfilter/ip_tables.ko",
	"CONFIG_IP_NF_NAT":              "kernel/net/ipv4/netfilter/iptable_nat.ko",
	"CONFIG_IP_SET":                 "kernel/net/netfilter/ipset/ip_set.ko",
	"CONFIG_BRIDGE":                 "kernel/net/bridge/bridge.ko",
	"CONFIG_BRIDGE_NETFILTER":       "kernel/net/bridge/br_netfilter.ko",
	"CONFIG_OVERLAY_FS":             "kernel/fs/overlayfs/overlay.ko",
	"CONFIG_WIREGUARD":              "kernel/drivers/net/wireguard/wireguard.ko",
	"CONFIG_VXLAN":                  "kernel/drivers/net/vxlan/vxlan.ko",
	"CONFIG_TUN":                    "kernel/drivers/net/tun.ko",
	"CONFIG_DUMMY":                  "kernel/drivers/net/dummy.ko",
	"CONFIG_VETH":                   "kernel/drivers/net/veth.ko",
	"CONFIG_NETFILTER_XT_SET":       "kernel/net/netfilter/xt_set.ko",
	"CONFIG_NETFILTER_XTABLES":      "kernel/net/netfilter/x_tables.ko",
	"CONFIG_NET_SCH_NETEM":          "kernel/net/sched/sch_netem.ko",
	"CONFIG_IP_SCTP":                "kernel/net/sctp/sctp.ko",
	"CONFIG_NF_CT_NETLINK":          "kernel/net/netfilter/nf_conntrack_netlink.ko",
	"CONFIG_NETFILTER_NETLINK_ACCT": "kernel/net/netfilter/nfnetlink_acct.ko",
}

// WriteBuiltinModules tells modprobe what this kernel has built in: it writes
// modules.builtin and its index where modprobe looks for them.
func WriteBuiltinModules() error {
	config, err := kernelOptions()
	if err != nil {
		return fmt.Errorf("reading the kernel's configuration: %w", err)
	}
	var list bytes.Buffer
	var names []string
	for option, path := range builtin {
		if config[option] {
			fmt.Fprintln(&list, path)
			names = append(names, strings.TrimSuffix(filepath.Base(path), ".ko"))
		}
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("reading the kernel's release: %w", err)
	}
	dir := filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the modules' folder: %w", err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "modules.builtin"), list.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, "modules.builtin.bin"), moduleIndex(names), 0o644),
	)
}

// kernelOptions returns the options that are set to y in /proc/config.gz.
func kernelOptions() (map[string]bool, error) {
	f, err := os.Open("/proc/config.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	options := map[string]bool{}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		if name, ok := strings.CutSuffix(lines.Text(), "=y"); ok {
			options[name] = true
		}
	}
	return options, lines.Err()
}

// Marks of kmod's index format (kmod, libkmod/libkmod-index.c): a trie of big
// endian 32-bit offsets, whose upper bits say what the node at the offset has.
const (
	indexMagic   = 0xB007F457
	indexVersion = 0x00020001
	nodePrefix   = 0x80000000
	nodeValues   = 0x40000000
	nodeChildren = 0x20000000
)

// moduleIndex returns names as kmod's binary index: one value each, empty, as
// depmod writes them for built-in modules.
func moduleIndex(names []string) []byte {
	out := binary.BigEndian.AppendUint32(nil, indexMagic)
	out = binary.BigEndian.AppendUint32(out, indexVersion)
	out = append(out, 0, 0, 0, 0) // the root's offset, known at the end
	out, root := appendNode(out, names)
	binary.BigEndian.PutUint32(out[8:], root)
	return out
}

// appendNode appends the trie of suffixes below the nodes of its children, and
// returns its offset with marks.
func appendNode(out []byte, suffixes []string) ([]byte, uint32) {
	byFirst := map[byte][]string{}
	leaf := false
	first, last := byte(255), byte(0)
	for _, s := range suffixes {
		if s == "" {
			leaf = true
			continue
		}
		byFirst[s[0]] = append(byFirst[s[0]], s[1:])
		first, last = min(first, s[0]), max(last, s[0])
	}
	var children []uint32
	for c := int(first); c <= int(last); c++ {
		var child uint32
		if rest := byFirst[byte(c)]; rest != nil {
			out, child = appendNode(out, rest)
		}
		children = append(children, child)
	}
	offset := uint32(len(out))
	if len(children) > 0 {
		offset |= nodeChildren
		out = append(out, first, last)
		for _, child := range children {
			out = binary.BigEndian.AppendUint32(out, child)
		}
	}
	if leaf {
		offset |= nodeValues
		out = append(out, 0, 0, 0, 1, 0, 0, 0, 0, 0) // one value: priority 0, the empty string
	}
	return out, offset
}
