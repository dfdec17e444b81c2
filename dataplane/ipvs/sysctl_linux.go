package ipvs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// setting is a kernel parameter that the data path relies on.
type setting struct {
	path, value, why string
}

// settings, all of them per network namespace (Documentation/networking/ipvs-sysctl.rst). arp_ignore and
// arp_announce, which kube-proxy sets for its own mode, are none of ours.
var settings = [...]setting{
	{"net/ipv4/vs/conntrack", "1", "so that netfilter sees the flows that IPVS serves and their source address can be kept"},
	{"net/ipv4/vs/expire_nodest_conn", "1", "so that a flow ends when its endpoint is removed"},
	{"net/ipv4/vs/expire_quiescent_template", "1", "so that a client moves on when its endpoint drains"},
}

// SetSysctls sets what the data path relies on, where it may be written: a container's /proc/sys is usually read-only,
// and then a privileged init step has set it. It returns a sentence for every parameter that is still different, with
// the remedy, and the names of those that it wrote.
func SetSysctls() (drift, written []string) {
	for _, s := range settings {
		wrote, err := s.set()
		if wrote {
			written = append(written, "sysctl "+strings.ReplaceAll(s.path, "/", "."))
		}
		if err != nil {
			drift = append(drift, err.Error())
		}
	}
	return drift, written
}

func (s setting) set() (wrote bool, err error) {
	name := strings.ReplaceAll(s.path, "/", ".")
	file := "/proc/sys/" + s.path
	have, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("reading sysctl %s: %w", name, err)
	}
	value := strings.TrimSpace(string(have))
	if value == s.value {
		return false, nil
	}
	err = os.WriteFile(file, []byte(s.value), 0)
	if err == nil {
		return true, nil
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return false, fmt.Errorf("sysctl %s is %s, want %s, %s: set it on the host with `sysctl -w %s=%s` (%w)",
		name, value, s.value, s.why, name, s.value, err)
}
