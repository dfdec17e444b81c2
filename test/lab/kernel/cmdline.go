package kernel

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
)

// File descriptors that the kernel inherits for the guest's terminals.
const (
	fdStdin  = 3 // /dev/tty1
	fdDemand = 4 // /dev/tty1, what the guest writes there
	fdStdout = 5 // /dev/tty2
	fdStderr = 6 // /dev/tty3
)

// cmdline returns the kernel's arguments for cfg.
func cmdline(cfg Config) []string {
	args := []string{
		"rootfstype=hostfs", "rootflags=/", "rw", "quiet", "seccomp=on",
		"init=" + cfg.Init,
		"mem=" + cmp.Or(cfg.Memory, DefaultMemory),
		"uml_dir=" + filepath.Clean(cfg.Dir) + "/",
		"umid=uml",
		"con=null", "con0=null,fd:1",
	}
	if cfg.Stdin != nil {
		args = append(args, fmt.Sprintf("con1=fd:%d,fd:%d", fdStdin, fdDemand))
	}
	if cfg.Stdout != nil {
		args = append(args, fmt.Sprintf("con2=null,fd:%d", fdStdout))
	}
	if cfg.Stderr != nil {
		args = append(args, fmt.Sprintf("con3=null,fd:%d", fdStderr))
	}
	for i, n := range cfg.NICs {
		args = append(args, nicOption(i, n))
	}
	return slices.Concat(args, cfg.Args, cfg.Env)
}

func nicOption(i int, n NIC) string {
	o := fmt.Sprintf("vec%d:transport=bess,dst=%s,depth=128,gro=1,mac=%s", i, n.Socket, n.MAC)
	if n.MTU != 0 {
		o += fmt.Sprintf(",mtu=%d", n.MTU)
	}
	return o
}
