package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// DefaultKubeProxy is where kube-proxy serves its mode and its configuration, unless told otherwise.
const DefaultKubeProxy = "127.0.0.1:10249"

const (
	proxyInterval = 15 * time.Second
	proxyTimeout  = 2 * time.Second
	proxyMaxBytes = 1 << 20
)

// KubeProxy is this node's kube-proxy, as far as it tells about itself.
type KubeProxy struct {
	// Address is host:port of its metrics server.
	Address string
}

// proxyState is what is known of kube-proxy.
type proxyState struct {
	// Mode is empty if nobody answers: there is no kube-proxy, or it does not tell.
	Mode string
	// Excluded are the CIDRs that it leaves alone in ipvs mode.
	Excluded []netip.Prefix
}

func (s proxyState) equal(other proxyState) bool {
	return s.Mode == other.Mode && slices.Equal(s.Excluded, other.Excluded)
}

// read asks kube-proxy.
func (k KubeProxy) read(ctx context.Context) (proxyState, error) {
	ctx, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	mode, err := k.get(ctx, "/proxyMode")
	if err != nil {
		return proxyState{}, err
	}
	state := proxyState{Mode: strings.TrimSpace(string(mode))}
	if state.Mode != "ipvs" {
		return state, nil
	}
	body, err := k.get(ctx, "/configz")
	if err != nil {
		return state, nil //nolint:nilerr // one that does not tell what it excludes may exclude nothing
	}
	state.Excluded = excludedCIDRs(body)
	return state, nil
}

func (k KubeProxy) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+k.Address+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking kube-proxy for %s: %w", path, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking kube-proxy for %s: %w", path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking kube-proxy for %s: %s", path, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, proxyMaxBytes))
}

// excludedCIDRs of kube-proxy's configuration, the versioned one and the internal one that older ones show: their names
// differ in upper and lower case only, which encoding/json does not mind.
func excludedCIDRs(body []byte) []netip.Prefix {
	var config map[string]struct {
		IPVS struct{ ExcludeCIDRs []string }
	}
	if err := json.Unmarshal(body, &config); err != nil {
		return nil
	}
	var excluded []netip.Prefix
	for _, c := range config["kubeproxy.config.k8s.io"].IPVS.ExcludeCIDRs {
		if p, err := netip.ParsePrefix(c); err == nil {
			excluded = append(excluded, p.Masked())
		}
	}
	return excluded
}

// silences are how many questions in a row kube-proxy may leave unanswered before it counts as gone: it may be slow, or
// be restarted.
const silences = 4

// proxyWatch asks kube-proxy from time to time.
type proxyWatch struct {
	source  KubeProxy
	changed func()
	state   atomic.Pointer[proxyState]
	// silent is used by look only: the questions in a row without an answer.
	silent int
}

func (w *proxyWatch) look(ctx context.Context) {
	old := w.state.Load()
	state, err := w.source.read(ctx)
	if err == nil {
		w.silent = 0
	} else if w.silent++; old != nil && w.silent < silences {
		return
	}
	if old != nil && old.equal(state) || ctx.Err() != nil {
		return
	}
	w.state.Store(&state)
	if old != nil {
		w.changed()
	}
}

func (w *proxyWatch) run(ctx context.Context) {
	tick := time.NewTicker(proxyInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(ctx)
		}
	}
}

// verdict is what follows from the backend that was asked for and from kube-proxy.
type verdict struct {
	// refusal is why no virtual service may be programmed; nil if they may.
	refusal error
	// why says what is used and why, warning what is not well about it.
	why, warning string
}

var (
	errBackend = fmt.Errorf("backend %q is not in this build: set backend to %q or %q in spec.dataplane of the ClusterSet",
		v1alpha1.BackendNFTables, v1alpha1.BackendAuto, v1alpha1.BackendIPVS)
	errKubeProxy = errors.New("this node's kube-proxy runs in ipvs mode and would delete tombolo's virtual services")
)

func (w *proxyWatch) verdict(backend v1alpha1.DataplaneBackend, vips []netip.Prefix) verdict {
	var state proxyState
	if s := w.state.Load(); s != nil {
		state = *s
	}
	return judge(backend, state, vips)
}

// judge tells whether IPVS is safe beside that kube-proxy.
func judge(backend v1alpha1.DataplaneBackend, state proxyState, vips []netip.Prefix) verdict {
	if backend == v1alpha1.BackendNFTables {
		return verdict{refusal: errBackend}
	}
	if backend == "" {
		backend = v1alpha1.BackendAuto
	}
	why := fmt.Sprintf("IPVS serves clusterset IPs (backend %s, kube-proxy mode %s)", backend, state.Mode)
	switch state.Mode {
	case "ipvs":
		for _, vip := range vips {
			if !excluded(state.Excluded, vip) {
				return verdict{refusal: fmt.Errorf("%w: add %s to ipvs.excludeCIDRs in its configuration, or run it in iptables mode", errKubeProxy, vip)}
			}
		}
		return verdict{why: why + ", which excludes the VIP CIDR"}
	case "nftables":
		return verdict{why: why, warning: "kube-proxy in nftables mode wipes the IPVS table when it starts: clusterset IPs are back within a second"}
	case "":
		return verdict{why: fmt.Sprintf("IPVS serves clusterset IPs (backend %s, no kube-proxy answers)", backend)}
	}
	return verdict{why: why}
}

func excluded(all []netip.Prefix, p netip.Prefix) bool {
	return slices.ContainsFunc(all, func(e netip.Prefix) bool { return e.Bits() <= p.Bits() && e.Contains(p.Addr()) })
}
