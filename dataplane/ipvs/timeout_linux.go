package ipvs

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// From include/uapi/linux/ip_vs.h.
const (
	cmdSetConfig = 12
	cmdGetConfig = 13

	attrTimeoutTCP = 4
)

const (
	// unchosen is how many seconds IPVS remembers a silent TCP connection if nobody has chosen another
	// time (net/netfilter/ipvs/ip_vs_proto_tcp.c). TCP itself asks after two hours of silence (RFC 9293
	// section 3.8.4), and many programs rely on that.
	unchosen = 15 * 60
	// trackedTimeout is the same of connection tracking, 5 days unless somebody chose another time.
	trackedTimeout = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"
)

// extendTimeout makes IPVS remember silent TCP connections as long as connection tracking does, if it
// has the kernel's own timeout. All virtual services of the network namespace share it. Another
// timeout was chosen by somebody, and stays. It reports whether it wrote.
func extendTimeout() (written bool, err error) {
	id, err := family()
	if err != nil {
		return false, err
	}
	have, err := timeoutTCP(id)
	if err != nil || have != unchosen {
		return false, err
	}
	text, err := os.ReadFile(trackedTimeout)
	if err != nil {
		return false, err
	}
	want, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil || want <= unchosen {
		return false, err
	}
	request := configRequest(id, cmdSetConfig, unix.NLM_F_ACK)
	request.AddData(nl.NewRtAttr(attrTimeoutTCP, binary.NativeEndian.AppendUint32(nil, uint32(want))))
	if _, err := request.Execute(unix.NETLINK_GENERIC, 0); err != nil {
		return false, fmt.Errorf("the timeout of IPVS for silent TCP connections is %d s, want %d s, so that they last as long as others: "+
			"set it on the host with `ipvsadm --set %[2]d 0 0` (%[3]w)", unchosen, want, err)
	}
	return true, nil
}

// timeoutTCP is IPVS's timeout for TCP connections, in seconds.
func timeoutTCP(family uint16) (uint64, error) {
	answers, err := configRequest(family, cmdGetConfig, 0).Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return 0, fmt.Errorf("reading the timeouts of IPVS: %w", err)
	}
	for _, a := range answers {
		if len(a) >= nl.SizeofGenlmsg {
			if value := attribute(a[nl.SizeofGenlmsg:], attrTimeoutTCP); value != nil {
				return number(value), nil
			}
		}
	}
	return 0, fmt.Errorf("reading the timeouts of IPVS: the kernel told none")
}

func configRequest(family uint16, command uint8, flags int) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(int(family), flags)
	request.AddData(&nl.Genlmsg{Command: command, Version: genlVersion})
	return request
}
