package node

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// natChain is a chain of the table nat of iptables or ip6tables, to which POSTROUTING jumps.
type natChain struct {
	family family
	name   string
	// rules are as iptables-save prints them, without "-A name".
	rules []string
	// first has the jump stay in front of all others' rules; else it is appended.
	first bool
}

// sync makes the table hold the chain, unless it does, for which before is called first, if it is
// not nil. It says whether it has written.
func (c natChain) sync(ctx context.Context, before func(context.Context) error) (bool, error) {
	have, err := pipe(ctx, "", c.family.iptables, "-w", "-t", "nat", "-S")
	if err != nil || c.in(have) {
		return false, err
	}
	if before != nil {
		if err := before(ctx); err != nil {
			return false, err
		}
	}
	_, err = pipe(ctx, c.restore(have), c.family.iptables+"-restore", "-w", "--noflush")
	return err == nil, err
}

// in tells whether the rules, as iptables -S prints them, have the chain in its place. Rules are
// counted, not compared: iptables prints some in other words than it was given.
func (c natChain) in(rules string) bool {
	jumps, others, own := 0, 0, 0
	for line := range strings.Lines(rules) {
		switch {
		case strings.TrimSpace(line) == c.jump():
			jumps++
			if c.first && others > 0 {
				return false
			}
		case strings.HasPrefix(line, "-A POSTROUTING "):
			others++
		case strings.HasPrefix(line, "-A "+c.name+" "):
			own++
		}
	}
	return jumps == 1 && own == len(c.rules)
}

func (c natChain) jump() string { return "-A POSTROUTING -j " + c.name }

// restore is the input of iptables-restore that makes the rules hold the chain.
func (c natChain) restore(have string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*nat\n:%s - [0:0]\n", c.name)
	for line := range strings.Lines(have) {
		if strings.TrimSpace(line) == c.jump() {
			fmt.Fprintf(&b, "-D POSTROUTING -j %s\n", c.name)
		}
	}
	how := "-A"
	if c.first {
		how = "-I"
	}
	fmt.Fprintf(&b, "%s POSTROUTING -j %s\n", how, c.name)
	for _, rule := range c.rules {
		fmt.Fprintf(&b, "-A %s %s\n", c.name, rule)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// ipSet is a set of networks.
type ipSet struct {
	family   family
	name     string
	networks []netip.Prefix
}

// syncSets makes the kernel have the sets, with these networks at least.
func syncSets(ctx context.Context, sets ...ipSet) error {
	var b strings.Builder
	for _, s := range sets {
		fmt.Fprintf(&b, "create %s hash:net family %s\n", s.name, s.family.ipset)
		for _, p := range s.networks {
			fmt.Fprintf(&b, "add %s %s\n", s.name, p)
		}
	}
	_, err := pipe(ctx, b.String(), "ipset", "-exist", "restore")
	return err
}

// pipe runs a program with that input and returns its output; an error holds what it says.
func pipe(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s: %w: %s", name, err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}
