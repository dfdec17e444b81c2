package serviceimport

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// A cluster that exports without end fills no log, and hides nothing of the others.
func TestSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		ctx := logr.NewContext(context.Background(), funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{}))
		var s said
		for range 1000 {
			s.info(ctx, "west", "imported", "vip", nil)
		}
		if len(lines) != saidBurst {
			t.Errorf("%d lines about west, want %d", len(lines), saidBurst)
		}
		s.info(ctx, "east", "imported")
		if last := lines[len(lines)-1]; len(lines) != saidBurst+1 || !strings.Contains(last, `"cluster"="east"`) {
			t.Errorf("nothing is said about east after %d lines about west: %s", len(lines), last)
		}
		time.Sleep(saidEvery)
		s.info(ctx, "west", "import removed")
		s.info(ctx, "west", "import removed")
		if last := lines[len(lines)-1]; len(lines) != saidBurst+2 || !strings.Contains(last, `"unsaid"=950`) {
			t.Errorf("after a while there are %d lines, the last is %s", len(lines), last)
		}
	})
}
