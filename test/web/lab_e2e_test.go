//go:build e2e

package web

import (
	"context"
	"os"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// TestLab looks at a real lab, has the links between its clusters cut, and sees it.
func TestLab(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, serve(t, os.Getenv("KUBECONFIG"), "east,west"), look{1100, 780, false})
	p.says(".sum", "2 clusters, 2 of them asked")
	p.visit("#/pair/east/west")
	p.says(".detail h3", "up")
	// The gateways count bytes: probes alone are some.
	p.until("[...document.querySelectorAll('.detail figcaption')].some((c) => c.innerText.includes('bit/s'))")
	p.audit()
	p.picture("web-pair")

	nodes := map[string][]string{}
	for _, cluster := range []string{"east", "west"} {
		if nodes[cluster], err = sh.Nodes(t.Context(), cluster, "clusterset.tombolo.dev/gateway=true"); err != nil {
			t.Fatal(err)
		}
	}
	lab := func(ctx context.Context, what string) {
		t.Helper()
		for _, a := range nodes["east"] {
			for _, b := range nodes["west"] {
				if _, err := shell.Output(sh.Lab(ctx, "net", what, a, b)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Cleanup(func() { lab(context.WithoutCancel(t.Context()), "heal") })
	lab(t.Context(), "cut")
	p.says(".detail h3", "down")
	p.until("document.querySelector('.edge.bad') !== null")
	lab(t.Context(), "heal")
	p.says(".detail h3", "up")
	p.visit("#/events")
	p.says("main", "LinkDown", "LinkUp")
	p.audit()
}
