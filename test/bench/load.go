package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// newLoadCommand makes the command that runs in a pod and prints how many requests a second a URL
// answers.
func newLoadCommand() *cobra.Command {
	var clients int
	var duration time.Duration
	cmd := &cobra.Command{
		Use:    "load URL",
		Short:  "Ask a URL again and again, each time over a connection of its own, and print the requests per second",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			rate, failed := load(cmd.Context(), args[0], clients, duration)
			if failed > 0 {
				return fmt.Errorf("%d requests failed", failed)
			}
			fmt.Println(rate)
			return nil
		},
	}
	cmd.Flags().IntVar(&clients, "clients", 4, "how many ask at the same time")
	cmd.Flags().DurationVar(&duration, "duration", 3*time.Second, "for how long")
	return cmd
}

func load(ctx context.Context, url string, clients int, duration time.Duration) (perSecond float64, failed int64) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	var done, errs atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range clients {
		wg.Go(func() {
			for time.Since(start) < duration && ctx.Err() == nil {
				if err := ask(ctx, client, url); err != nil {
					errs.Add(1)
					continue
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), errs.Load()
}

func ask(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}
