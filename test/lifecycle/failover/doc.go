// Package failover measures what becomes of traffic between two clusters while something happens to
// a gateway: which faults there are, how each is made and healed, and the gap and the lost
// connections that it leaves. Its tests ask that nothing breaks; the benchmark takes its times.
//
// It runs in a lab with tombolo installed, two clusters and two gateways in each, which it does not
// boot: `bin/lab run --install --gateways 2 --nodes 3 -- COMMAND`. The traffic is that of
// test/lifecycle/load.
package failover
