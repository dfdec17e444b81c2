package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/internal/ask"
	"github.com/tombolo-net/tombolo/internal/explain"
)

// debugAddress is where the dataplane's agent says where flows go, unless it is told otherwise.
const debugAddress = "127.0.0.1:7476"

func newAskCommand() *cobra.Command {
	a := ask.Asker{}
	var text string
	c := &cobra.Command{
		Use:   "ask",
		Short: "Answer what kubectl tombolo explain wants to know of this node",
		Long: `Reads one question, in JSON, from the standard input, and writes the answer to the standard output: what the dataplane of this
node decides, what a DNS server answers, which addresses can be connected to. kubectl tombolo explain runs it in a pod of the
dataplane. It changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var question explain.Question
			in := cmd.InOrStdin()
			if text != "" {
				in = strings.NewReader(text)
			}
			if err := json.NewDecoder(in).Decode(&question); err != nil {
				return fmt.Errorf("reading the question: %w", err)
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(a.Reply(cmd.Context(), question))
		},
	}
	c.Flags().StringVar(&a.Debug, "debug-address", debugAddress, "where the dataplane's agent serves /explain")
	c.Flags().StringVar(&text, "question", "", "the question, instead of the standard input")
	return c
}
