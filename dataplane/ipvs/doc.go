// Package ipvs makes the kernel's IPVS table hold the virtual services that serve clusterset IPs:
// one per address, protocol and port, with weighted destinations reached by NAT (ip_vs,
// /proc/net/ip_vs).
//
// It owns the virtual services that carry its mark (Mark) and lie inside the VIP CIDRs that it is
// given, and those whose key it is asked to have. Everything else in the table, which is one per
// network namespace and shared with kube-proxy and others, is never touched: not by a flush, not by
// its own clean-up. Of what the whole table shares, it sets a few sysctls, and the timeout of silent
// TCP connections unless somebody chose one (Sysctls).
//
// It does not decide who gets traffic (dataplane/plan does), nor how packets reach the table
// (internal/kernel/route).
package ipvs
