// Package podnet looks whether the kernel's settings let packets of pods pass netfilter and be
// forwarded. What is needed depends on how the CNI connects pods: by a bridge, or by a device and a
// route for each. It changes nothing.
package podnet
