// Package dataplane measures what serves clusterset IPs on a node, beside kube-proxy with as many
// Services of its own: the real agent and the real kube-proxy, from lists and watches on. Each runs
// in a user-mode kernel of its own, or in network namespaces of the host's kernel. What they do to
// the kernel is seen by others' readers of it. The package judges nothing.
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/guest"
	"github.com/tombolo-net/tombolo/test/harness/kubeproxy"
)

// Config is what is measured, and with what.
type Config struct {
	// Lab is the path of the lab's command.
	Lab string // required
	// Self is the path of the program that runs InKernel under the command "in-kernel".
	Self string // required
	// Only are the names of those that are measured.
	Only []string // optional, default all: Subjects
	// Steps are the names of what is measured after the start.
	Steps []string // optional, default all: Steps
	// Native measures in the host's own kernel, in network namespaces. It needs root.
	Native bool // optional, default in user-mode kernels
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
		subjects = c.able()
	}
	var errs error
	for _, name := range c.Steps {
		if !slices.Contains(Steps(), name) {
			return fmt.Errorf("there is no step %q: use %s", name, strings.Join(Steps(), ", "))
		}
	}
	parts := []string{partMany}
	if wanted(c.Steps, stepFirstPackets) {
		parts = append(parts, partFew)
	}
	for _, part := range parts {
		for _, subject := range subjects {
			if err := c.run(ctx, subject, part, all); err != nil {
				errs = errors.Join(errs, fmt.Errorf("measuring %s, %s services: %w", subject, part, err))
			}
		}
	}
	return errs
}

// able are the subjects that the kernel can serve.
func (c Config) able() []string {
	subjects := Subjects()
	if c.Native && ipvs.Available() != nil {
		guest.Progress("this kernel has no IPVS: only what uses nftables is measured")
		subjects = slices.DeleteFunc(subjects, func(s string) bool { return strings.HasSuffix(s, kubeproxy.IPVS) })
	}
	return subjects
}

// run measures a part in a fresh kernel, or in fresh namespaces, and collects the figures, which
// come one in a line.
func (c Config) run(ctx context.Context, subject, part string, all *figures.List) error {
	args := []string{"kernel", "--memory", memory}
	inside := []string{"in-kernel", subject, part}
	if c.Quick {
		inside = append(inside, "--quick")
	}
	if len(c.Steps) > 0 {
		inside = append(inside, "--steps", strings.Join(c.Steps, ","))
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
	if c.Native {
		return guest.MeasureNatively(ctx, c.Self, append(inside, "--native"), all)
	}
	return guest.Measure(ctx, c.Lab, slices.Concat(args, []string{"--", c.Self}, inside), all)
}
