//go:build !linux

package pages

import "syscall"

// freebind does nothing: tombolo runs on Linux.
func freebind(string, string, syscall.RawConn) error { return nil }
