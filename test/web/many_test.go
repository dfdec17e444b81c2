//go:build integration

package web

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/apiserver"
)

const (
	manyClusters = 100
	manyServices = 5000
	// mostElements is how large the page may become, however many objects there are.
	mostElements = 3000
)

// many is a cluster that knows 99 others, of which two cannot be reached, and imports 5,000 Services.
func many(t *testing.T) *apiserver.Server {
	t.Helper()
	all := member("east", 1)
	for i := 2; i <= manyClusters; i++ {
		state := v1alpha1.LinkUp
		if i > manyClusters-2 {
			state = v1alpha1.LinkDown
		}
		all = append(all, remote("east", fmt.Sprintf("cluster-%03d", i), int32(i), state))
	}
	for i := range manyServices {
		namespace, name := fmt.Sprintf("team-%02d", i%50), fmt.Sprintf("service-%04d", i)
		conflict := ""
		if i%1000 == 999 {
			conflict = "PortConflict"
		}
		all = append(all, exported(namespace, name, conflict))
		all = append(all, imported(namespace, name, i, "east", "cluster-002")...)
	}
	return newServer(t, all...)
}

// TestMany shows 100 clusters and 5,000 Services: the page stays small, and scrolling and filtering
// quick.
func TestMany(t *testing.T) {
	server := many(t)
	began := time.Now()
	p := open(t, serve(t, kubeconfig(t, map[string]*apiserver.Server{"east": server}), "east"), looks[2])
	p.says(".sum", "100 clusters", "5000 Services", "2 errors, 5 warnings")
	t.Logf("the first picture came after %s, the API server's list of all objects included", time.Since(began).Round(10*time.Millisecond))
	p.small("clusters")
	if n := eval[int](p, "document.querySelectorAll('.node').length"); n != manyClusters {
		t.Errorf("%d clusters are drawn", n)
	}
	if n := eval[int](p, "document.querySelectorAll('.edge.bad').length"); n != 2 {
		t.Errorf("%d links that are down are drawn", n)
	}
	p.audit()

	p.visit("#/services")
	p.says(".sum", "5000 Services")
	p.small("services")
	p.audit()
	frames := eval[[]float64](p, `new Promise((done) => {
		const rows = document.querySelector(".rows");
		const step = (rows.scrollHeight - rows.clientHeight) / 60;
		const took = [];
		let last = performance.now();
		const draw = (now) => {
			took.push(now - last);
			last = now;
			rows.scrollTop += step;
			if (took.length < 60) requestAnimationFrame(draw); else done(took.sort((a, b) => a - b));
		};
		requestAnimationFrame(draw);
	})`)
	p.says(".rows", "team-49/service-4999")
	p.small("services, at their end")
	t.Logf("60 pictures from the first to the last Service: half of them took less than %.0f ms, the slowest %.0f ms", frames[30], frames[59])
	took := eval[float64](p, `(() => {
		const search = document.querySelector("#search");
		const began = performance.now();
		search.value = "team-07 service-400";
		search.dispatchEvent(new Event("input"));
		document.querySelector(".rows").getBoundingClientRect();
		return performance.now() - began;
	})()`)
	p.says(".sum", "1 of 5000 Services")
	p.says(".rows", "team-07/service-4007")
	t.Logf("filtering 5,000 Services took %.0f ms", took)
	p.run(`document.querySelector("#search").value = ""; document.querySelector("#only").value = "conflict"; document.querySelector("#only").dispatchEvent(new Event("change"))`)
	p.says(".sum", "5 of 5000 Services")

	before := eval[float64](p, "performance.now()")
	if err := server.Put(exported("team-08", "service-4008", "PortConflict")); err != nil {
		t.Fatal(err)
	}
	p.says(".sum", "6 of 5000 Services")
	t.Logf("a change of one of them was seen after %.0f ms", eval[float64](p, "performance.now()")-before)

	p.visit("#/service/team-07/service-4007")
	p.says("main", "From cluster east", "cluster-002")
	p.small("one Service")
	p.audit()
}

// TestManyFlap has one object change all the time, while the page is used.
func TestManyFlap(t *testing.T) {
	objects := member("east", 1)
	objects = append(objects, remote("east", "west", 2, v1alpha1.LinkUp))
	server := newServer(t, objects...)
	p := open(t, serve(t, kubeconfig(t, map[string]*apiserver.Server{"east": server}), "east"), looks[2])
	p.says(".sum", "2 clusters")
	p.run("document.querySelector('.edge').focus(); window.focused = document.activeElement")
	for i := range 40 {
		state := []v1alpha1.LinkState{v1alpha1.LinkDown, v1alpha1.LinkUp}[i%2]
		var o runtime.Object = remote("east", "west", 2, state)
		if err := server.Put(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Put(remote("east", "west", 2, v1alpha1.LinkDown)); err != nil {
		t.Fatal(err)
	}
	p.until("document.querySelector('.edge.bad') !== null")
	if !eval[bool](p, "document.activeElement === window.focused") {
		t.Error("the focus was lost")
	}
}

// small fails if the page has grown with the number of objects.
func (p *tab) small(what string) {
	p.Helper()
	n := eval[int](p, "document.querySelectorAll('*').length")
	p.Logf("%s: %d elements", what, n)
	if n > mostElements {
		p.Errorf("%s: the page has %d elements", what, n)
	}
}
