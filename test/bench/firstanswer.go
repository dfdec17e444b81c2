package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

const firstAnswerSamples = 20

// asker is the script in the client pod: for each name on its standard input it asks until there is
// an answer.
const asker = `while read -r name; do until curl --silent --fail --output /dev/null --max-time 1 "http://$name:8080/"; do :; done; echo "$name"; done`

// firstAnswers measures from the creation of a ServiceExport to the first answer through its name
// in a pod of the other cluster, which begins to ask at the same time. What the cluster's DNS
// caches of a name that is not there yet counts.
func (b *bench) firstAnswers(ctx context.Context) error {
	cmd := kubectlExec(ctx, "sh", "-c", asker)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the asker in the client pod: %w", err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	answers := bufio.NewScanner(out)
	var took []time.Duration
	for i := range firstAnswerSamples {
		name := fmt.Sprintf("first-%d", i)
		if err := b.createAll(ctx, service(name, map[string]string{"app": "server"}, httpPort)); err != nil {
			return err
		}
		// The endpoints of the Service are the server's own affair: they are there before the clock
		// starts.
		if err := b.waitEndpoints(ctx, name); err != nil {
			return err
		}
		d, err := b.firstAnswer(ctx, name, in, answers)
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	b.figures.AddTimes("first_answer", took)
	return nil
}

func (b *bench) firstAnswer(ctx context.Context, name string, in io.Writer, answers *bufio.Scanner) (time.Duration, error) {
	full := name + "." + namespace + ".svc.clusterset.local"
	start := time.Now()
	if err := b.createAll(ctx, serviceExport(name)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintln(in, full); err != nil {
		return 0, err
	}
	if !answers.Scan() || strings.TrimSpace(answers.Text()) != full {
		return 0, fmt.Errorf("the asker ended or said %q, want %s: %w", answers.Text(), full, answers.Err())
	}
	return time.Since(start), nil
}
