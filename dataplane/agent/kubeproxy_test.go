package agent

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// kubeProxy is a server that answers as kube-proxy does.
func kubeProxy(t *testing.T, mode, configz string) KubeProxy {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/proxyMode", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, mode) })
	if configz != "" {
		mux.HandleFunc("/configz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, configz) })
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return KubeProxy{Address: strings.TrimPrefix(server.URL, "http://")}
}

func TestJudge(t *testing.T) {
	vips := []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")}
	const versioned = `{"kubeproxy.config.k8s.io":{"kind":"KubeProxyConfiguration","ipvs":{"excludeCIDRs":["10.0.0.0/8","%s"]}}}`
	const internal = `{"kubeproxy.config.k8s.io":{"IPVS":{"ExcludeCIDRs":["%s"]}}}`
	auto, byIPVS, byNFT := v1alpha1.BackendAuto, v1alpha1.BackendIPVS, v1alpha1.BackendNFTables
	tests := []struct {
		name          string
		proxy         KubeProxy
		asked         v1alpha1.DataplaneBackend
		noIPVS        error
		want          v1alpha1.DataplaneBackend
		refusal       error
		text, warning string
	}{
		{"no kube-proxy", KubeProxy{Address: "127.0.0.1:1"}, auto, nil, byIPVS, nil, "IPVS serves clusterset IPs (backend auto, no kube-proxy answers)", ""},
		{"no kube-proxy, by name", KubeProxy{Address: "127.0.0.1:1"}, byIPVS, nil, byIPVS, nil, "backend ipvs, no kube-proxy answers", ""},
		{"neither kube-proxy nor IPVS", KubeProxy{Address: "127.0.0.1:1"}, auto, ipvs.ErrNoModule, byNFT, nil, "this kernel has no IPVS", ""},
		{"no IPVS, by name", KubeProxy{Address: "127.0.0.1:1"}, byIPVS, ipvs.ErrNoModule, byIPVS, nil, "backend ipvs", ""},
		{"iptables", kubeProxy(t, "iptables", ""), auto, nil, byIPVS, nil, "backend auto, kube-proxy mode iptables", ""},
		{"nftables", kubeProxy(t, "nftables", ""), auto, nil, byNFT, nil, "nftables serves clusterset IPs (backend auto, kube-proxy mode nftables", ""},
		{"nftables, IPVS by name", kubeProxy(t, "nftables", ""), byIPVS, nil, byIPVS, nil, "backend ipvs, kube-proxy mode nftables", "may wipe the IPVS table"},
		{"ipvs, excluded", kubeProxy(t, "ipvs\n", fmt.Sprintf(versioned, "244.0.0.0/8")), auto, nil, byIPVS, nil, "excludes the VIP CIDR", ""},
		{"ipvs, excluded, by name", kubeProxy(t, "ipvs\n", fmt.Sprintf(versioned, "244.0.0.0/8")), byIPVS, nil, byIPVS, nil, "excludes the VIP CIDR", ""},
		{"ipvs, excluded, an older one", kubeProxy(t, "ipvs", fmt.Sprintf(internal, "244.0.0.0/16")), auto, nil, byIPVS, nil, "excludes the VIP CIDR", ""},
		{"ipvs, a part excluded", kubeProxy(t, "ipvs", fmt.Sprintf(versioned, "244.0.0.0/24")), auto, nil, byNFT, nil, "does not exclude the VIP CIDR", ""},
		{"ipvs, a part excluded, by name", kubeProxy(t, "ipvs", fmt.Sprintf(versioned, "244.0.0.0/24")), byIPVS, nil, byIPVS, errKubeProxy, "add 244.0.0.0/16 to ipvs.excludeCIDRs", ""},
		{"ipvs, silent", kubeProxy(t, "ipvs", ""), byIPVS, nil, byIPVS, errKubeProxy, "add 244.0.0.0/16 to ipvs.excludeCIDRs", ""},
		{"ipvs, nonsense", kubeProxy(t, "ipvs", "<html>"), byIPVS, nil, byIPVS, errKubeProxy, "add 244.0.0.0/16 to ipvs.excludeCIDRs", ""},
		{"a mode that nobody knows", kubeProxy(t, "<html>", ""), auto, nil, byNFT, nil, "does not tell its mode", ""},
		{"a mode that nobody knows, by name", kubeProxy(t, "<html>", ""), byIPVS, nil, byIPVS, nil, "does not tell its mode", "may wipe the IPVS table"},
		{"nftables by name", kubeProxy(t, "iptables", ""), byNFT, ipvs.ErrNoModule, byNFT, nil, "nftables serves clusterset IPs (backend nftables)", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changes := 0
			watch := proxyWatch{source: tt.proxy, changed: func() { changes++ }}
			watch.look(t.Context())
			watch.look(t.Context())
			got := watch.verdict(tt.asked, vips, tt.noIPVS)
			if got.backend != tt.want || !errors.Is(got.refusal, tt.refusal) || changes != 0 {
				t.Errorf("backend %s, refusal %v, want %s, %v; %d changes", got.backend, got.refusal, tt.want, tt.refusal, changes)
			}
			text := got.why
			if got.refusal != nil {
				text = got.refusal.Error()
			}
			if !strings.Contains(text, tt.text) || !strings.Contains(got.warning, tt.warning) || tt.warning == "" && got.warning != "" {
				t.Errorf("says %q and %q, want %q and %q", text, got.warning, tt.text, tt.warning)
			}
		})
	}
}

func TestProxyWatchTellsChanges(t *testing.T) {
	changes := 0
	watch := proxyWatch{source: KubeProxy{Address: "127.0.0.1:1"}, changed: func() { changes++ }}
	watch.look(t.Context())
	watch.source = kubeProxy(t, "iptables", "")
	watch.look(t.Context())
	watch.look(t.Context())
	if changes != 1 {
		t.Errorf("%d changes were told, want 1", changes)
	}
	watch.source = KubeProxy{Address: "127.0.0.1:1"}
	for i := range silences + 1 {
		want := "iptables"
		if i >= silences {
			want = ""
		}
		if got := watch.state.Load().Mode; got != want {
			t.Errorf("after %d questions without an answer the mode is %q, want %q", i, got, want)
		}
		watch.look(t.Context())
	}
	if changes != 2 {
		t.Errorf("%d changes were told, want 2", changes)
	}
}

func TestReasons(t *testing.T) {
	for want, err := range map[string]error{
		v1alpha1.ReasonKernelModuleMissing: fmt.Errorf("listing: %w", ipvs.ErrNoModule),
		v1alpha1.ReasonNotPermitted:        remedied(fmt.Errorf("listing: %w", unix.EPERM)),
		v1alpha1.ReasonCIDROverlap:         plan.ConflictError{},
		v1alpha1.ReasonPending:             plan.ErrNoNode,
		v1alpha1.ReasonInvalidCIDR:         notAccepted{reason: v1alpha1.ReasonInvalidCIDR},
		v1alpha1.ReasonKernelError:         unix.ENOBUFS,
		reasonKubeProxy:                    fmt.Errorf("%w: x", errKubeProxy),
		reasonProgram:                      fmt.Errorf("starting: %w", nftables.ErrNoProgram),
		reasonNoRoom:                       fmt.Errorf("writing: %w", nftables.ErrNoRoom),
	} {
		if got := reasonOf(err); got != want {
			t.Errorf("%v: reason %s, want %s", err, got, want)
		}
	}
}

func TestProblems(t *testing.T) {
	var p problems
	first, second := errors.New("first"), errors.New("second")
	steps := []struct {
		part  string
		err   error
		fresh bool
		want  error
	}{
		{"routes", nil, false, nil},
		{"routes", second, true, second},
		{"routes", errors.New("second"), false, second},
		{"services", first, true, first},
		{"condition", errors.New("not the kernel's"), true, first},
		{"services", nil, true, second},
		{"routes", nil, true, nil},
	}
	for i, s := range steps {
		if fresh := p.set(s.part, s.err); fresh != s.fresh {
			t.Errorf("step %d: fresh %t", i, fresh)
		}
		if got := p.first(); fmt.Sprint(got) != fmt.Sprint(s.want) {
			t.Errorf("step %d: first is %v, want %v", i, got, s.want)
		}
	}
}
