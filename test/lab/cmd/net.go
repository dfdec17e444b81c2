package main

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/lab"
	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// netCommand returns `lab net`, which works on the network between nodes.
func netCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "net",
		Short: "Capture, cut, delay, lose, squeeze or translate what passes between nodes",
		Long: `Works on the switch that every frame between nodes passes through. A and B each name a node (east-1), a
cluster (east: all of its nodes), '*' for every node, or host for the way to the API servers.`,
		Example: `  lab net capture east west | tcpdump -n -r -
  lab net cut east-1 west-1
  lab net delay east west 50ms
  lab net loss east west 5%
  lab net mtu east west 1400
  lab net nat east-1 west
  lab net heal '*' '*'`,
	}
	nameFlag(c, &name)
	c.AddCommand(captureCommand(&name), cutCommand(&name), healCommand(&name), delayCommand(&name), lossCommand(&name),
		mtuCommand(&name), natCommand(&name))
	return c
}

func cutCommand(name *string) *cobra.Command {
	var oneWay bool
	var ports string
	c := &cobra.Command{
		Use:   "cut A B",
		Short: "Drop every frame between A and B, or some, until they are healed",
		Example: `  lab net cut east-1 west-1
  lab net cut east-1 '*' --one-way             # what east-1 sends; it still hears the others
  lab net cut east-1 '*' --port 51820-51883    # WireGuard's ports, whichever end has them`,
		Args: cobra.ExactArgs(2),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) (err error) {
			which := underlay.Selection{OneWay: oneWay}
			if ports != "" {
				if which.Ports, err = underlay.ParsePortRange(ports); err != nil {
					return err
				}
			}
			return l.Cut(cmd.Context(), args[0], args[1], which)
		}),
	}
	c.Flags().BoolVar(&oneWay, "one-way", false, "drop only what goes from A to B")
	c.Flags().StringVar(&ports, "port", "", "drop only UDP, TCP and SCTP packets from or to this port, or one of these: 51820-51883")
	return c
}

func healCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "heal A B",
		Short: "Undo all of that between A and B",
		Args:  cobra.ExactArgs(2),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			return l.Heal(cmd.Context(), args[0], args[1])
		}),
	}
}

func mtuCommand(name *string) *cobra.Command {
	var silent bool
	c := &cobra.Command{
		Use:   "mtu A B BYTES",
		Short: "Let only smaller IP packets pass between A and B, as a router would",
		Long: `Larger IPv4 packets are fragmented, unless they forbid it: those are dropped, and their sender is told by ICMP.
Larger IPv6 packets are dropped. 0 takes it back.`,
		Example: "  lab net mtu east west 1400",
		Args:    cobra.ExactArgs(3),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			mtu, err := strconv.Atoi(args[2])
			if err != nil {
				return fmt.Errorf("MTU %q: it is a number of bytes", args[2])
			}
			return l.MTU(cmd.Context(), args[0], args[1], mtu, silent)
		}),
	}
	c.Flags().BoolVar(&silent, "silent", false, "tell no sender, as a firewall does that drops ICMP")
	return c
}

func natCommand(name *string) *cobra.Command {
	var outside string
	c := &cobra.Command{
		Use:   "nat NODE B",
		Short: "Put a NAT between NODE and B",
		Long: `B sees NODE under another address of the nodes' network and with other ports. Only a peer that NODE has sent to
gets through, from the port that NODE has sent to, and nobody finds NODE's own address. TCP, UDP and ping pass.
The address outside is printed.`,
		Example: "  lab net nat east-1 west",
		Args:    cobra.ExactArgs(2),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			address, err := outsideOf(cmd.Context(), l, args[0], outside)
			if err != nil {
				return err
			}
			if err := l.Translate(cmd.Context(), args[0], args[1], address); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), address)
			return err
		}),
	}
	c.Flags().StringVar(&outside, "outside", "", "the address that B sees (default NODE's own, 100 higher)")
	return c
}

// outsideOf returns the address that was given, else the node's default one.
func outsideOf(ctx context.Context, l *lab.Client, node, given string) (netip.Addr, error) {
	if given != "" {
		return netip.ParseAddr(given)
	}
	s, err := l.Status(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, n := range s.Topology.Nodes() {
		if n.Name == node {
			return n.Outside(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("node %q: %w", node, lab.ErrUnknownNode)
}

func delayCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:     "delay A B DURATION",
		Short:   "Delay every frame between A and B, each way",
		Example: "  lab net delay east west 50ms   # a round trip takes 100 ms longer",
		Args:    cobra.ExactArgs(3),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			d, err := time.ParseDuration(args[2])
			if err != nil {
				return fmt.Errorf("delay %q: it looks like 50ms or 1s", args[2])
			}
			return l.Delay(cmd.Context(), args[0], args[1], d)
		}),
	}
}

func lossCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:     "loss A B RATIO",
		Short:   "Drop frames between A and B at random, each way",
		Example: "  lab net loss east west 5%\n  lab net loss east west 0.05",
		Args:    cobra.ExactArgs(3),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			ratio, err := parseRatio(args[2])
			if err != nil {
				return err
			}
			return l.Loss(cmd.Context(), args[0], args[1], ratio)
		}),
	}
}

// parseRatio returns the number that 5% or 0.05 is.
func parseRatio(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	ratio, err := strconv.ParseFloat(number, 64)
	if percent {
		ratio /= 100
	}
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		return 0, fmt.Errorf("ratio %q: allowed are 0 to 1, or 0%% to 100%%", text)
	}
	return ratio, nil
}

// withLab returns a command's function that works on a lab.
func withLab(name *string, run func(*cobra.Command, *lab.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		l, err := connect(*name)
		if err != nil {
			return err
		}
		return run(cmd, l, args)
	}
}
