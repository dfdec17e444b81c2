package demo

import (
	"strings"
	"testing"
)

func TestVirtualService(t *testing.T) {
	out := strings.Join([]string{
		"IP Virtual Server version 1.2.1 (size=32768)",
		"Prot LocalAddress:Port Scheduler Flags",
		"  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
		"TCP  244.0.1.1:80 wrr",
		"  -> 10.1.0.2:8080               Masq    1      0          0",
		"  -> 10.1.1.2:8080               Masq    1      0          0",
		"TCP  244.0.1.1:8080 wrr",
		"  -> 10.1.9.9:8080               Masq    1      0          0",
	}, "\n")
	if got := strings.Count(virtualService(out, "244.0.1.1:80"), "->"); got != 2 {
		t.Errorf("got %d destinations, want 2", got)
	}
	if got := virtualService(out, "244.0.1.2:80"); got != "" {
		t.Errorf("got %q for an unknown service", got)
	}
}

func TestParseAnswer(t *testing.T) {
	got, err := parseAnswer("web-1 [::ffff:10.2.1.4]:41234 /\n")
	if err != nil || got.pod != "web-1" || got.client.String() != "10.2.1.4:41234" {
		t.Errorf("got %v (%v)", got, err)
	}
	for _, bad := range []string{"", "web-1", "web-1 nowhere /"} {
		if _, err := parseAnswer(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
