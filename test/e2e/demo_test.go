//go:build e2e

// Package e2e tests tombolo from end to end, on a lab with tombolo installed: run it as
// `bin/lab run --install -- go test -tags e2e ./test/e2e`. It does not boot the lab.
package e2e

import (
	"testing"

	"github.com/tombolo-net/tombolo/test/demo"
)

// TestDemo asserts each step of the demo. A step builds on the ones before it, so the first that
// fails ends the test.
func TestDemo(t *testing.T) {
	env, err := demo.NewEnv()
	if err != nil {
		t.Fatal(err)
	}
	steps, err := env.Steps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		ok := t.Run(step.Name, func(t *testing.T) {
			evidence, err := step.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Log(evidence)
		})
		if !ok {
			t.FailNow()
		}
	}
}
