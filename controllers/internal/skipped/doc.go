// Package skipped owns the account of what other clusters publish and this one does not use, because it is malformed or
// not approved. Controllers note it, object by object; RemoteClusters, metrics and the log show it. What is skipped, and
// why, is package mcs's to say, and an account is not kept beyond the process: controllers that start anew note it anew.
package skipped
