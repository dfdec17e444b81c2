// Package demo is the way of one request through tombolo, step by step, on a lab with tombolo
// installed: each step does what a user would do and returns the evidence, taken with tools that
// are not tombolo's (kubectl, dig, curl, ipvsadm, wg, tcpdump). `make demo` prints the steps; the
// e2e test asserts them.
//
// It does not boot the lab and does not install tombolo: `lab run --install` does.
package demo
