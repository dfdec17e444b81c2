package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/internal/echo"
)

// newEchoCommand is what the pods of `kubectl tombolo verify` and `bench` run.
func newEchoCommand() *cobra.Command {
	c := &cobra.Command{Use: "echo", Short: "Server and client of kubectl tombolo verify and bench", Hidden: true}
	var port uint16
	var udpOnly bool
	serve := &cobra.Command{
		Use: "serve", Short: "Tell everybody who connects, by TCP or UDP, who answers and who asked", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if udpOnly {
				return echo.ServeUDP(cmd.Context(), os.Getenv("POD_NAME"), port)
			}
			return echo.Serve(cmd.Context(), os.Getenv("POD_NAME"), port)
		},
	}
	serve.Flags().Uint16Var(&port, "port", 8080, "the port, of TCP and of UDP")
	serve.Flags().BoolVar(&udpOnly, "udp-only", false, "serve no TCP")
	ask := &cobra.Command{
		Use: "ask", Short: "Read a question, in JSON, from the standard input, and write what was heard", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var question echo.Question
			if err := json.NewDecoder(cmd.InOrStdin()).Decode(&question); err != nil {
				return fmt.Errorf("reading the question: %w", err)
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(echo.Ask(cmd.Context(), question))
		},
	}
	measure := &cobra.Command{
		Use: "measure", Short: "Read what to measure, in JSON, from the standard input, and write the figures", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var task echo.Task
			if err := json.NewDecoder(cmd.InOrStdin()).Decode(&task); err != nil {
				return fmt.Errorf("reading the task: %w", err)
			}
			figures, err := echo.Measure(cmd.Context(), task)
			if err != nil {
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(figures)
		},
	}
	c.AddCommand(serve, ask, measure)
	return c
}
