package backend

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// kubeProxy is a server that answers as kube-proxy does.
func kubeProxy(t *testing.T, mode, configz string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/proxyMode", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, mode) })
	if configz != "" {
		mux.HandleFunc("/configz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, configz) })
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestChoose(t *testing.T) {
	vips := []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")}
	const versioned = `{"kubeproxy.config.k8s.io":{"kind":"KubeProxyConfiguration","ipvs":{"excludeCIDRs":["10.0.0.0/8","%s"]}}}`
	const internal = `{"kubeproxy.config.k8s.io":{"IPVS":{"ExcludeCIDRs":["%s"]}}}`
	noIPVS := errors.New("the module is missing")
	auto, byIPVS, byNFT := v1alpha1.BackendAuto, v1alpha1.BackendIPVS, v1alpha1.BackendNFTables
	tests := []struct {
		name          string
		proxy         string
		asked         v1alpha1.DataplaneBackend
		noIPVS        error
		want          v1alpha1.DataplaneBackend
		refusal       error
		text, warning string
	}{
		{"no kube-proxy", "127.0.0.1:1", auto, nil, byIPVS, nil, "IPVS serves clusterset IPs (backend auto, no kube-proxy answers)", ""},
		{"no kube-proxy, by name", "127.0.0.1:1", byIPVS, nil, byIPVS, nil, "backend ipvs, no kube-proxy answers", ""},
		{"neither kube-proxy nor IPVS", "127.0.0.1:1", auto, noIPVS, byNFT, nil, "this kernel has no IPVS", ""},
		{"no IPVS, by name", "127.0.0.1:1", byIPVS, noIPVS, byIPVS, nil, "backend ipvs", ""},
		{"iptables", kubeProxy(t, "iptables", ""), auto, nil, byIPVS, nil, "backend auto, kube-proxy mode iptables", ""},
		{"nftables", kubeProxy(t, "nftables", ""), auto, nil, byNFT, nil, "nftables serves clusterset IPs (backend auto, kube-proxy mode nftables", ""},
		{"nftables, IPVS by name", kubeProxy(t, "nftables", ""), byIPVS, nil, byIPVS, nil, "backend ipvs, kube-proxy mode nftables", "may wipe the IPVS table"},
		{"ipvs, excluded", kubeProxy(t, "ipvs\n", fmt.Sprintf(versioned, "244.0.0.0/8")), auto, nil, byIPVS, nil, "excludes the VIP CIDR", ""},
		{"ipvs, excluded, by name", kubeProxy(t, "ipvs\n", fmt.Sprintf(versioned, "244.0.0.0/8")), byIPVS, nil, byIPVS, nil, "excludes the VIP CIDR", ""},
		{"ipvs, excluded, an older one", kubeProxy(t, "ipvs", fmt.Sprintf(internal, "244.0.0.0/16")), auto, nil, byIPVS, nil, "excludes the VIP CIDR", ""},
		{"ipvs, a part excluded", kubeProxy(t, "ipvs", fmt.Sprintf(versioned, "244.0.0.0/24")), auto, nil, byNFT, nil, "does not exclude the VIP CIDR", ""},
		{"ipvs, a part excluded, by name", kubeProxy(t, "ipvs", fmt.Sprintf(versioned, "244.0.0.0/24")), byIPVS, nil, byIPVS, ErrKubeProxy, "add 244.0.0.0/16 to ipvs.excludeCIDRs", ""},
		{"ipvs, silent", kubeProxy(t, "ipvs", ""), byIPVS, nil, byIPVS, ErrKubeProxy, "add 244.0.0.0/16 to ipvs.excludeCIDRs", ""},
		{"ipvs, nonsense", kubeProxy(t, "ipvs", "<html>"), byIPVS, nil, byIPVS, ErrKubeProxy, "add 244.0.0.0/16 to ipvs.excludeCIDRs", ""},
		{"a mode that nobody knows", kubeProxy(t, "<html>", ""), auto, nil, byNFT, nil, "does not tell its mode", ""},
		{"a mode that nobody knows, by name", kubeProxy(t, "<html>", ""), byIPVS, nil, byIPVS, nil, "does not tell its mode", "may wipe the IPVS table"},
		{"nftables by name", kubeProxy(t, "iptables", ""), byNFT, noIPVS, byNFT, nil, "nftables serves clusterset IPs (backend nftables)", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changes := 0
			watch := ProxyWatch{Address: tt.proxy, Changed: func() { changes++ }}
			watch.Ask(t.Context())
			watch.Ask(t.Context())
			got := Circumstances{Asked: tt.asked, Proxy: watch.State(), VIPs: vips, NoIPVS: tt.noIPVS}.Choose()
			if got.Backend != tt.want || !errors.Is(got.Refusal, tt.refusal) || changes != 0 {
				t.Errorf("backend %s, refusal %v, want %s, %v; %d changes", got.Backend, got.Refusal, tt.want, tt.refusal, changes)
			}
			text := got.Why
			if got.Refusal != nil {
				text = got.Refusal.Error()
			}
			if !strings.Contains(text, tt.text) || !strings.Contains(got.Warning, tt.warning) || tt.warning == "" && got.Warning != "" {
				t.Errorf("says %q and %q, want %q and %q", text, got.Warning, tt.text, tt.warning)
			}
		})
	}
}

// TestChooseByFamily: where kube-proxy excludes the VIP CIDR of one family only, IPVS by name serves that
// one, and the other is refused.
func TestChooseByFamily(t *testing.T) {
	four, six := netip.MustParsePrefix("244.0.0.0/16"), netip.MustParsePrefix("fd77::/112")
	for _, tt := range []struct {
		name     string
		asked    v1alpha1.DataplaneBackend
		excluded []netip.Prefix
		want     v1alpha1.DataplaneBackend
		refused  []netip.Prefix
		text     string
	}{
		{"both", v1alpha1.BackendIPVS, []netip.Prefix{six, four}, v1alpha1.BackendIPVS, nil, ""},
		{"IPv4", v1alpha1.BackendIPVS, []netip.Prefix{four}, v1alpha1.BackendIPVS, []netip.Prefix{six}, "add fd77::/112 to ipvs.excludeCIDRs"},
		{"IPv6", v1alpha1.BackendIPVS, []netip.Prefix{six}, v1alpha1.BackendIPVS, []netip.Prefix{four}, "add 244.0.0.0/16 to ipvs.excludeCIDRs"},
		{"none", v1alpha1.BackendIPVS, nil, v1alpha1.BackendIPVS, nil, "add 244.0.0.0/16 to ipvs.excludeCIDRs"},
		{"IPv4, not by name", v1alpha1.BackendAuto, []netip.Prefix{four}, v1alpha1.BackendNFTables, nil, ""},
	} {
		got := Circumstances{Asked: tt.asked, Proxy: ProxyState{Mode: modeIPVS, Excluded: tt.excluded}, VIPs: []netip.Prefix{four, six}}.Choose()
		if got.Backend != tt.want || !slices.Equal(got.Refused, tt.refused) || (got.Refusal == nil) != (tt.text == "") {
			t.Errorf("%s: %+v", tt.name, got)
		}
		if tt.text != "" && (!errors.Is(got.Refusal, ErrKubeProxy) || !strings.Contains(got.Refusal.Error(), tt.text)) {
			t.Errorf("%s: refusal %v, want %q", tt.name, got.Refusal, tt.text)
		}
	}
}

func TestProxyWatchTellsChanges(t *testing.T) {
	changes := 0
	watch := ProxyWatch{Address: "127.0.0.1:1", Changed: func() { changes++ }}
	watch.Ask(t.Context())
	watch.Address = kubeProxy(t, "iptables", "")
	watch.Ask(t.Context())
	watch.Ask(t.Context())
	if changes != 1 {
		t.Errorf("%d changes were told, want 1", changes)
	}
	watch.Address = "127.0.0.1:1"
	for i := range missedAnswers + 1 {
		want := "iptables"
		if i >= missedAnswers {
			want = ""
		}
		if got := watch.State().Mode; got != want {
			t.Errorf("after %d questions without an answer the mode is %q, want %q", i, got, want)
		}
		watch.Ask(t.Context())
	}
	if changes != 2 {
		t.Errorf("%d changes were told, want 2", changes)
	}
}

// TestChooseEarly: while a kube-proxy has not answered a new agent yet, what served before goes on
// serving. After some questions its silence counts.
func TestChooseEarly(t *testing.T) {
	changes := 0
	watch := ProxyWatch{Address: "127.0.0.1:1", Changed: func() { changes++ }}
	choose := func(asked, before v1alpha1.DataplaneBackend) v1alpha1.DataplaneBackend {
		return Circumstances{Asked: asked, Before: before, Proxy: watch.State()}.Choose().Backend
	}
	for i := range missedAnswers + 1 {
		watch.Ask(t.Context())
		early := i < missedAnswers-1
		if got := watch.State().Early; got != early {
			t.Errorf("after %d questions without an answer: early is %t, want %t", i+1, got, early)
		}
		for _, tt := range []struct{ asked, before, early, late v1alpha1.DataplaneBackend }{
			{v1alpha1.BackendAuto, v1alpha1.BackendNFTables, v1alpha1.BackendNFTables, v1alpha1.BackendIPVS},
			{v1alpha1.BackendAuto, v1alpha1.BackendIPVS, v1alpha1.BackendIPVS, v1alpha1.BackendIPVS},
			{v1alpha1.BackendAuto, "", v1alpha1.BackendIPVS, v1alpha1.BackendIPVS},
			{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables, v1alpha1.BackendIPVS, v1alpha1.BackendIPVS},
			{v1alpha1.BackendNFTables, v1alpha1.BackendIPVS, v1alpha1.BackendNFTables, v1alpha1.BackendNFTables},
		} {
			want := tt.late
			if early {
				want = tt.early
			}
			if got := choose(tt.asked, tt.before); got != want {
				t.Errorf("asked for %s, before %q, after %d questions: %s, want %s", tt.asked, tt.before, i+1, got, want)
			}
		}
	}
	if changes != 1 {
		t.Errorf("%d changes were told, want 1", changes)
	}
	watch = ProxyWatch{Address: "127.0.0.1:1", Changed: func() { changes++ }}
	watch.Ask(t.Context())
	watch.Address = kubeProxy(t, "nftables", "")
	watch.Ask(t.Context())
	if s := watch.State(); s.Early || s.Mode != modeNFTables || changes != 2 {
		t.Errorf("it has answered: %+v, %d changes", s, changes)
	}
}

// TestChooseContested: others who remove virtual services are a reason for `auto` only, and only
// where IPVS would serve.
func TestChooseContested(t *testing.T) {
	const seen = "3 entries of the IPVS table"
	for _, tt := range []struct {
		asked v1alpha1.DataplaneBackend
		proxy string
		want  v1alpha1.DataplaneBackend
		moved bool
	}{
		{v1alpha1.BackendAuto, modeNone, v1alpha1.BackendNFTables, true},
		{v1alpha1.BackendAuto, modeIPTables, v1alpha1.BackendNFTables, true},
		{v1alpha1.BackendAuto, modeNFTables, v1alpha1.BackendNFTables, false},
		{v1alpha1.BackendIPVS, modeNone, v1alpha1.BackendIPVS, false},
		{v1alpha1.BackendNFTables, modeNone, v1alpha1.BackendNFTables, false},
	} {
		c := Circumstances{Asked: tt.asked, Proxy: ProxyState{Mode: tt.proxy}, Contested: seen}
		got := c.Choose()
		if got.Backend != tt.want || got.Moved != tt.moved || got.Refusal != nil {
			t.Errorf("%s beside %q: %+v", tt.asked, tt.proxy, got)
		}
		if strings.Contains(got.Warning, seen) != tt.moved {
			t.Errorf("%s beside %q: warning %q", tt.asked, tt.proxy, got.Warning)
		}
		if calm := (Circumstances{Asked: tt.asked, Proxy: ProxyState{Mode: tt.proxy}}); calm.Equal(c) {
			t.Error("equal, though only one is contested")
		}
	}
}
