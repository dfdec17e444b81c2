// Package dataplane measures what serves clusterset IPs on a node, beside kube-proxy with as many
// Services of its own: each in a user-mode kernel of its own, the real agent and the real
// kube-proxy, from lists and watches on. What they do to the kernel is seen by others' readers of
// it. The package judges nothing.
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/guest"
)

// Config is what is measured, and with what.
type Config struct {
	// Lab is the path of the lab's command.
	Lab string // required
	// Self is the path of the program that runs InKernel under the command "in-kernel".
	Self string // required
	// Only are the names of those that are measured.
	Only []string // optional, default all: Subjects
	// Quick is for trying it out: a tenth of the services, and shorter looks.
	Quick bool
	// Profiles is a folder for profiles of the agent.
	Profiles string // optional, default none are taken; the figures are not true then
}

// Subjects are the names of what is measured, as figures' names end.
func Subjects() []string {
	return []string{"ipvs", "nftables", "kubeproxy_ipvs", proxyNFTables}
}

const proxyNFTables = "kubeproxy_nftables"

// memory of each kernel: kube-proxy in mode nftables and nft need most of it.
const memory = "3G"

// Measure adds its figures, also those that were measured before an error.
func Measure(ctx context.Context, c Config, all *figures.List) error {
	subjects := c.Only
	if len(subjects) == 0 {
		subjects = Subjects()
	}
	var errs error
	for _, part := range []string{partMany, partFew} {
		for _, subject := range subjects {
			if err := c.run(ctx, subject, part, all); err != nil {
				errs = errors.Join(errs, fmt.Errorf("measuring %s, %s services: %w", subject, part, err))
			}
		}
	}
	return errs
}

// run measures a part in a fresh kernel and collects the figures, which come one in a line.
func (c Config) run(ctx context.Context, subject, part string, all *figures.List) error {
	args := []string{"kernel", "--memory", memory}
	inside := []string{"--", c.Self, "in-kernel", subject, part}
	if c.Quick {
		inside = append(inside, "--quick")
	}
	if c.Profiles != "" {
		dir, err := filepath.Abs(c.Profiles)
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		if err != nil {
			return err
		}
		args = append(args, "--writable", dir)
		inside = append(inside, "--profiles", dir)
	}
	return guest.Measure(ctx, c.Lab, append(args, inside...), all)
}
