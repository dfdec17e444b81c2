package agent

import "golang.org/x/sys/unix"

// mayChangeNetwork reports whether this thread has CAP_NET_ADMIN in effect.
func mayChangeNetwork() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return true // whether it may, the kernel will say
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
