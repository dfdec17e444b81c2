package shell

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestPoll(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name  string
		ready func(calls int) error
		want  error
		calls int
	}{
		{"at once", func(int) error { return nil }, nil, 1},
		{"in the end", func(calls int) error {
			if calls < 3 {
				return errors.New("not yet")
			}
			return nil
		}, nil, 3},
		{"never", func(int) error { return Fatal{broken} }, broken, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := Poll(t.Context(), func(context.Context) error {
					calls++
					return tt.ready(calls)
				})
				if !errors.Is(err, tt.want) || calls != tt.calls {
					t.Errorf("got %v after %d calls, want %v after %d", err, calls, tt.want, tt.calls)
				}
			})
		})
	}
}
