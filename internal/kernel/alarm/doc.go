// Package alarm wakes a goroutine at a time, with a timer of the kernel's (timerfd_create(2)) that Go's
// scheduler takes for a file. A process that wakes a few times a second and does little spends most of
// its time in that scheduler: a time.Timer wakes the thread that waits for it, Go's monitor thread, and
// a third one that finds nothing to do. An Alarm wakes one thread.
package alarm
