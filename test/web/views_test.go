//go:build integration

package web

import (
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// views are the addresses of views, with what each has to say.
var views = []struct {
	name, hash string
	says       []string
}{
	{"clusters", "#/clusters", []string{"3 clusters, 3 of them asked", "east – west"}},
	{"cluster", "#/cluster/east", []string{"Cluster east", "10.1.0.0/16", "Gateways", "east-2"}},
	{"pair", "#/pair/east/west", []string{"As east sees it: reachable", "east-1 → west-2", "Throughput"}},
	{"services", "#/services", []string{"2 Services", "shop/web", "conflict", "244.0.1.2"}},
	{"service", "#/service/shop/web", []string{"From cluster north", "east: 60 %", "west: 40 %", "failover step 1", "stands by"}},
	{"what-if", "#/service/shop/web?down=east", []string{"If cluster east goes", "it goes itself", "west 100 %"}},
	{"problems", "#/problems", []string{"ServiceExport shop/cart", "PortConflict"}},
	{"events", "#/events", []string{"ServiceExport shop/new", "Exported"}},
}

func TestViews(t *testing.T) {
	servers := small(t)
	address := serve(t, kubeconfig(t, servers), "east,west,north")
	for _, l := range looks {
		t.Run(l.String(), func(t *testing.T) {
			p := open(t, address, l)
			p.says("#connection", "live")
			p.says("main", "3 clusters")
			if err := servers["east"].Put(exported("shop", "new", "")); err != nil {
				t.Fatal(err)
			}
			p.visit("#/events")
			p.says("main", "ServiceExport shop/new")
			if err := servers["east"].Remove(exported("shop", "new", "")); err != nil {
				t.Fatal(err)
			}
			for _, v := range views {
				p.Run(v.name, func(t *testing.T) {
					p := &tab{T: t, ctx: p.ctx}
					p.visit(v.hash)
					for _, words := range v.says {
						if l.width < 700 && (words == "244.0.1.2" || words == "PortConflict") {
							continue // there is no room for it
						}
						p.says("main", words)
					}
					if over := eval[int](p, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
						t.Errorf("the page is %d pixels too wide", over)
					}
					p.audit()
				})
			}
		})
	}
}

// TestScreenshots makes the pictures of docs/web.md, but the one of TestLab.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		return // make screenshots asks for them
	}
	address := serve(t, kubeconfig(t, small(t)), "east,west,north")
	for name, of := range map[string]struct {
		look
		hash, says string
	}{
		"web-what-if": {look{1100, 720, false}, "#/service/shop/web?down=east", "If cluster east goes"},
		"web-small":   {look{360, 640, true}, "#/clusters", "east – west"},
	} {
		p := open(t, address, of.look)
		p.says("main", "3 clusters")
		p.visit(of.hash)
		p.says("main", of.says)
		p.picture(name)
	}
}

// TestLinkGoesDown has a link go down, and come back, while one looks.
func TestLinkGoesDown(t *testing.T) {
	servers := small(t)
	p := open(t, serve(t, kubeconfig(t, servers), "east,west,north"), looks[2])
	p.says("main", "3 clusters")
	p.visit("#/pair/east/west")
	p.says(".detail h3", "up")
	p.run("window.stays = document.querySelector('.picture')")
	for _, step := range []struct {
		state v1alpha1.LinkState
		word  string
		class string
	}{{v1alpha1.LinkDown, "down", "bad"}, {v1alpha1.LinkUp, "up", "good"}} {
		if err := servers["east"].Put(remote("east", "west", 2, step.state)); err != nil {
			t.Fatal(err)
		}
		p.says(".detail h3", step.word)
		p.until("[...document.querySelectorAll('.edge." + step.class + "')].some((e) => e.getAttribute('aria-label').startsWith('east – west: " + step.word + "'))")
	}
	if !eval[bool](p, "window.stays === document.querySelector('.picture')") {
		t.Error("the picture was made again")
	}
	p.visit("#/events")
	p.says("main", "LinkDown", "LinkUp", "Link east-1 to west/west-1")
}
