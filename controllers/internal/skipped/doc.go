// Package skipped owns the account of what other clusters publish and this cluster does not use,
// because it is malformed or not approved. Controllers note it object by object. RemoteClusters,
// metrics and the log show it. Package mcs says what is skipped, and why. An account does not
// outlive the process: controllers that start again note everything again.
package skipped
