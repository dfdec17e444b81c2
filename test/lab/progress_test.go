package lab

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgressStep(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want []string
	}{{
		name: "done",
		want: []string{
			"[  0.0s] boiling water (usually 20 s)",
			"[ 10.0s] boiling water: 10 s so far, waiting for the kettle",
			"[ 20.0s] boiling water: 20 s so far, waiting for the kettle",
			"[ 25.0s] boiling water: done in 25.0 s",
		},
	}, {
		name: "not done",
		err:  errors.New("no power"),
		want: []string{
			"[  0.0s] boiling water (usually 20 s)",
			"[ 10.0s] boiling water: 10 s so far, waiting for the kettle",
			"[ 20.0s] boiling water: 20 s so far, waiting for the kettle",
			"[ 25.0s] boiling water: not done after 25.0 s, waiting for the kettle",
		},
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				done := newProgress(&out).step("boiling water", 20*time.Second, func() string { return "the kettle" })
				time.Sleep(25 * time.Second) // of the bubble's clock
				done(tt.err)
				if diff := cmp.Diff(tt.want, strings.Split(strings.TrimSpace(out.String()), "\n")); diff != "" {
					t.Errorf("progress (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestProgressWriter(t *testing.T) {
	var out bytes.Buffer
	w := progressWriter{newProgress(&out)}
	if n, err := w.Write([]byte("one\ntwo\n")); n != 8 || err != nil {
		t.Errorf("Write returned %d, %v", n, err)
	}
	if !regexp.MustCompile(`^\[.*\] one\n\[.*\] two\n$`).MatchString(out.String()) {
		t.Errorf("got %q", out.String())
	}
}

func TestWaiting(t *testing.T) {
	w := &waiting{}
	first, second := w.add("a"), w.add("b")
	if got := w.String(); got != "a, b" {
		t.Errorf("got %q, want a, b", got)
	}
	first()
	first()
	if got := w.String(); got != "b" {
		t.Errorf("got %q, want b", got)
	}
	second()
	if got := w.String(); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
