package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/moby/ipvs"
	"github.com/spf13/cobra"
)

// newWatchCommand makes the command that runs on a node and prints the destinations of a virtual
// service at once, and again whenever they change: one line, the addresses in order with a space
// between; a line with "-" for none.
func newWatchCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "watch ADDRESS:PORT",
		Short:  "Print the destinations of a TCP virtual service whenever they change",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			service, err := netip.ParseAddrPort(args[0])
			if err != nil {
				return err
			}
			return watch(cmd.Context(), service)
		},
	}
}

// watch polls every 2 ms: IPVS sends no notifications.
func watch(ctx context.Context, service netip.AddrPort) error {
	handle, err := ipvs.New("")
	if err != nil {
		return fmt.Errorf("opening IPVS: %w", err)
	}
	defer handle.Close()
	key := &ipvs.Service{AddressFamily: 2, Protocol: 6, Address: service.Addr().AsSlice(), Port: service.Port()}
	last := ""
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		line := destinations(handle, key)
		if line != last {
			fmt.Println(line)
			last = line
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func destinations(handle *ipvs.Handle, service *ipvs.Service) string {
	found, err := handle.GetDestinations(service)
	if err != nil || len(found) == 0 {
		return "-"
	}
	var list []string
	for _, d := range found {
		if d.Weight > 0 {
			list = append(list, d.Address.String())
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
