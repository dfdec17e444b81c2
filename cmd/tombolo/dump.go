package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/internal/nodestate"
	"github.com/tombolo-net/tombolo/internal/pages"
)

// newDumpCommand is what `kubectl tombolo gather` runs in agents' pods.
func newDumpCommand() *cobra.Command {
	c := &cobra.Command{
		Use:    "dump",
		Short:  "Print what the kernel of this node holds, and pages of its agents, for a support bundle",
		Hidden: true,
	}
	for _, part := range []struct {
		name, short string
		print       func(ctx context.Context, out io.Writer) error
	}{
		{"network", "Links, addresses, rules, routes and neighbours", nodestate.Network},
		{"ipvs", "Virtual services and their destinations", func(_ context.Context, out io.Writer) error { return nodestate.IPVS(out) }},
		{"wireguard", "Devices and peers; no private key", func(_ context.Context, out io.Writer) error { return nodestate.WireGuard(out) }},
		{"settings", "Sysctls, modules, sockets, load", func(_ context.Context, out io.Writer) error { return nodestate.Settings(out) }},
	} {
		c.AddCommand(&cobra.Command{
			Use: part.name, Short: part.short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return part.print(cmd.Context(), cmd.OutOrStdout()) },
		})
	}
	c.AddCommand(&cobra.Command{
		Use: "page ADDRESS PATH", Short: "A page that a process serves at a loopback address, such as 127.0.0.1:7475 /metrics", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printPage(cmd.Context(), cmd.OutOrStdout(), args[0], args[1])
		},
	})
	return c
}

// pageTimeout is how long a busy agent may take to answer.
const pageTimeout = 10 * time.Second

func printPage(ctx context.Context, out io.Writer, address, path string) error {
	if err := pages.ValidateLoopback(address); err != nil {
		return fmt.Errorf("%q: %w", address, err)
	}
	ctx, stop := context.WithTimeout(ctx, pageTimeout)
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("http://%s%s answers %s", address, path, response.Status)
	}
	_, err = io.Copy(out, response.Body)
	return err
}
