// Package web is `kubectl tombolo web`: a page of the clusterset, served on this machine alone, by the
// user's own rights. view decides what it shows, and the folder page holds what the browser loads.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/internal/pages"
)

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	port uint16
	open bool
}

// NewCommand returns the command.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "web",
		Short: "Serve a page of the clusterset on this machine: links, Services, events, live",
		Long: `Serves a page that shows clusters and links, Services, where flows go and why, and events, as they change. It prints the page's
address; open that in a browser. The command ends with Ctrl-C, and the page with it.

The page is served on the loopback address only, and only to who has the random token in its address. It reads the clusters by your own
rights and changes nothing. Nothing more runs in the clusters.

While the page is open, throughput is asked of the gateways every five seconds (kubectl exec). Without that right the page goes
without it.`,
		Example: `  kubectl tombolo web --contexts east,west
  kubectl tombolo web --all-contexts --open`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags.BindMany(c)
	c.Flags().Uint16Var(&o.port, "port", 0, "port of the loopback address; 0: any that is free")
	c.Flags().BoolVar(&o.open, "open", false, "open the page in the browser")
	return c
}

func (o *options) run(ctx context.Context) error {
	clusters, err := o.access.Clusters()
	if err != nil {
		return err
	}
	listener, err := pages.Listen(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(o.port))), nil)
	if err != nil {
		return err
	}
	token := newToken()
	address := fmt.Sprintf("http://%s/#token=%s", listener.Addr(), token)
	board := newBoard()
	feed := &feed{clusters: clusters, board: board}
	server := newServer(listener.Addr().String(), token, board, feed)
	fmt.Fprintf(o.Out, "%s\n", address)
	fmt.Fprintln(o.ErrOut, "Whoever has this address can see the page, from this machine only. Ctrl-C ends it.")
	if o.open {
		closed, err := openBrowser(address)
		if err != nil {
			fmt.Fprintf(o.ErrOut, "The browser could not be opened, so open the address yourself: %v\n", err)
		}
		defer closed()
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.serve(ctx, listener) })
	group.Go(func() error { return feed.run(ctx) })
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil // the user ended it
}
