// Command cmd prints the demo: a line for each step, PASS or FAIL, with the evidence under it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tombolo-net/tombolo/test/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := show(ctx); err != nil {
		fmt.Println(err)
		fmt.Println("demo: failed")
		os.Exit(1)
	}
	fmt.Println("demo: ok")
}

// show runs every step, also after one that failed, and returns an error if any did.
func show(ctx context.Context) error {
	env, err := demo.NewEnv()
	if err != nil {
		return err
	}
	steps, err := env.Steps(ctx)
	if err != nil {
		return err
	}
	failed := 0
	for _, step := range steps {
		start := time.Now()
		evidence, err := step.Run(ctx)
		verdict := "PASS"
		if err != nil {
			verdict, evidence = "FAIL", err.Error()
			failed++
		}
		fmt.Printf("%s (%.1f s) %s\n", step.Name, time.Since(start).Seconds(), verdict)
		for line := range strings.Lines(evidence) {
			fmt.Println("    " + strings.TrimRight(line, "\n"))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d steps failed", failed, len(steps))
	}
	return nil
}
