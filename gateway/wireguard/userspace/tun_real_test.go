//go:build kernel || integration

package userspace

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// A TUN that another process has is attached as soon as it is free. One that stays in use is an
// error that says so.
func TestAttach(t *testing.T) {
	if err := Check(); err != nil || os.Getuid() != 0 {
		t.Skipf("this needs root and TUNs: %v", err)
	}
	ns := netns.New(t)
	ns.Do(func() {
		first, err := makeTUN("tombolo0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := makeTUN("tombolo0"); err == nil {
			t.Error("a TUN was made twice")
		}
		const later = 200 * time.Millisecond
		began := time.Now()
		time.AfterFunc(later, func() { _ = unix.Close(first) })
		second, _, err := openTUN(t.Context(), "tombolo0", 1420)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if took := time.Since(began); took < later {
			t.Errorf("attached after %s, while the TUN was in use", took)
		}
		if _, _, err := openTUN(t.Context(), "tombolo0", 1420); err == nil || !strings.Contains(err.Error(), "another process uses") {
			t.Errorf("attaching a TUN that is in use: %v", err)
		}
	})
	if got := ns.Run("ip", "-d", "link", "show", "tombolo0"); !strings.Contains(got, "persist on") || !strings.Contains(got, "vnet_hdr on") {
		t.Errorf("ip says\n%s", got)
	}
}
