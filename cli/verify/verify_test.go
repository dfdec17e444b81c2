package verify

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/internal/echo"
)

func pod(name string, ips ...string) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, ip := range ips {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	return p
}

func heard(address, pod, client string) echo.Heard {
	return echo.Heard{Address: address, Answer: echo.Answer{Pod: pod, Client: client}}
}

func TestJudges(t *testing.T) {
	servers := []corev1.Pod{pod("a", "10.1.0.1", "fd00::1"), pod("b", "10.1.0.2", "fd00::2")}
	client := pod("client", "10.2.0.9", "fd01::9")
	vip := []string{"244.0.0.1"}
	fine := echo.Reply{Addresses: vip, Heard: []echo.Heard{heard(vip[0], "a", "10.2.0.9"), heard(vip[0], "b", "10.2.0.9")}}
	broken := echo.Reply{Addresses: vip, Heard: []echo.Heard{heard(vip[0], "a", "10.2.0.9"), {Address: vip[0], Error: "refused"}}}
	each := echo.Reply{Addresses: []string{"10.1.0.1", "10.1.0.2"}, Heard: []echo.Heard{heard("10.1.0.1", "a", ""), heard("10.1.0.2", "b", "")}}
	swapped := echo.Reply{Addresses: each.Addresses, Heard: []echo.Heard{heard("10.1.0.1", "b", ""), heard("10.1.0.2", "a", "")}}
	half := echo.Reply{Addresses: each.Addresses[:1], Heard: each.Heard[:1]}
	foreign := echo.Reply{Addresses: vip, Heard: []echo.Heard{heard(vip[0], "c", "10.2.0.1")}}
	same := echo.Reply{Addresses: vip, Heard: []echo.Heard{heard(vip[0], "a", "10.2.0.9"), heard(vip[0], "a", "10.2.0.9")}}
	for _, tt := range []struct {
		name string
		got  error
		want string // part of the error; "" for none
	}{
		{"answered", answered(fine), ""},
		{"one refused", answered(broken), "244.0.0.1: refused"},
		{"no name", answered(echo.Reply{Error: "no such host"}), "no such host"},
		{"nothing", answered(echo.Reply{}), "nothing was asked"},
		{"served", servedBy(fine, servers), ""},
		{"served by another", servedBy(foreign, servers), `by pod "c"`},
		{"headless", isHeadless(each, servers), ""},
		{"headless, wrong pods", isHeadless(swapped, servers), `of pod "a" was answered by pod "b"`},
		{"headless, one lacks", isHeadless(half, servers), "1 IPv4 addresses, for 2 pods"},
		{"headless, a clusterset IP", isHeadless(fine, servers), `of pod ""`},
		{"affinity", keepsAffinity(same), ""},
		{"no affinity", keepsAffinity(fine), "by pod a and by pod b"},
		{"sources", keepsSources(fine, &client), ""},
		{"sources translated", keepsSources(foreign, &client), "see 10.2.0.1 instead of the client pod's 10.2.0.9"},
	} {
		if (tt.got == nil) != (tt.want == "") || tt.got != nil && !strings.Contains(tt.got.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestJUnit(t *testing.T) {
	r := &results{}
	r.add("headless", "west", "east", time.Now(), errors.New(`refused <by> "it"`))
	r.add("a gateway drains", "", "east", time.Now(), skip("one gateway"))
	r.add("headless", "east", "west", time.Now(), nil)
	text, err := junit(r.sorted(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var got suites
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	s := got.Suites[0]
	if s.Tests != 3 || s.Failures != 1 || s.Skipped != 1 || len(s.Cases) != 3 {
		t.Errorf("got %+v", s)
	}
	if c := s.Cases[2]; c.Name != "west -> east: headless" || c.Failure == nil || c.Failure.Message != `refused <by> "it"` {
		t.Errorf("the last case is %+v", c)
	}
}
