package node

import "github.com/tombolo-net/tombolo/internal/kernel/alarm"

// KernelAlarm returns an Alarm that waits with a timer of the kernel's, for a Loop that ticks often and
// mostly finds nothing to do. It is nil if the kernel gives none.
func KernelAlarm() Alarm {
	a, err := alarm.New()
	if err != nil {
		return nil
	}
	return a
}
