package demo

import (
	"strings"
	"testing"
)

func TestWithClusterSetZone(t *testing.T) {
	in := ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa {\n        pods insecure\n    }\n    cache 30 {\n        disable success cluster.local\n    }\n}\n"
	want := ".:53 {\n    errors\n    kubernetes cluster.local in-addr.arpa clusterset.local {\n        multicluster clusterset.local\n        pods insecure\n    }\n    cache 30 {\n        disable success cluster.local clusterset.local\n    }\n}\n"
	got, err := withClusterSetZone(in)
	if err != nil || got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
	if again, err := withClusterSetZone(got); err != nil || again != got {
		t.Errorf("a second time: %q (%v)", again, err)
	}
	if _, err := withClusterSetZone(".:53 {\n forward . 192.0.2.1\n}\n"); err == nil {
		t.Error("a Corefile without a kubernetes block: no error")
	}
}

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
