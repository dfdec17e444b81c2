package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
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

// Modes of kube-proxy. The empty mode: nobody listens where it would answer.
const (
	modeNone     = ""
	modeIPTables = "iptables"
	modeNFTables = "nftables"
	modeIPVS     = "ipvs"
	// modeUnknown: somebody is there and does not tell.
	modeUnknown = "unknown"
)

// proxyState is what is known of kube-proxy.
type proxyState struct {
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
	switch state.Mode {
	case modeIPVS:
	case modeIPTables, modeNFTables:
		return state, nil
	default:
		return proxyState{Mode: modeUnknown}, nil
	}
	body, err := k.get(ctx, "/configz")
	if err != nil {
		return state, nil // one that does not tell what it excludes may exclude nothing
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
	source KubeProxy
	// changed is called when the state is another one than before, but for the first.
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
	} else {
		state = guess(err)
	}
	if old != nil && old.equal(state) || ctx.Err() != nil {
		return
	}
	w.state.Store(&state)
	if old != nil {
		w.changed()
	}
}

// ipvsDevice is what kube-proxy in ipvs mode keeps its addresses on.
const ipvsDevice = "kube-ipvs0"

// guess is what can be known of a kube-proxy that does not answer: what it leaves in the kernel, or that it is not there.
func guess(err error) proxyState {
	if _, missing := net.InterfaceByName(ipvsDevice); missing == nil {
		return proxyState{Mode: modeIPVS}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return proxyState{Mode: modeNone}
	}
	return proxyState{Mode: modeUnknown}
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
