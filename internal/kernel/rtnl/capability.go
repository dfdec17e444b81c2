package rtnl

// NeedsNetAdmin is what to say of a process that may not change the network.
const NeedsNetAdmin = "it needs the capability NET_ADMIN (securityContext.capabilities.add of its DaemonSet)"
