package rtnl

import "golang.org/x/sys/unix"

// MayChangeNetwork reports whether this thread has CAP_NET_ADMIN in effect. It is true if that
// cannot be found out: the kernel will say.
func MayChangeNetwork() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return true
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
