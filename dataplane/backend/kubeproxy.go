package backend

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

// DefaultKubeProxy is where kube-proxy serves its mode and its configuration, unless it is
// configured otherwise.
const DefaultKubeProxy = "127.0.0.1:10249"

const (
	proxyInterval = 15 * time.Second
	// proxyRetry is the interval while kube-proxy has not answered yet.
	proxyRetry    = time.Second
	proxyTimeout  = 2 * time.Second
	proxyMaxBytes = 1 << 20
)

// Modes of kube-proxy. The empty mode: nobody listens where it would answer.
const (
	modeNone     = ""
	modeIPTables = "iptables"
	modeNFTables = "nftables"
	modeIPVS     = "ipvs"
	// modeUnknown: somebody listens there, but does not say the mode.
	modeUnknown = "unknown"
)

// ProxyState is what is known of this node's kube-proxy. The zero ProxyState: there is no
// kube-proxy.
type ProxyState struct {
	Mode string
	// Excluded are the CIDRs that it leaves alone in ipvs mode.
	Excluded []netip.Prefix
	// Early is true while kube-proxy has not answered, and may do so soon: it may be slow, or be
	// restarting. The rest is what its silence suggests.
	Early bool
}

func (s ProxyState) equal(other ProxyState) bool {
	return s.Mode == other.Mode && s.Early == other.Early && slices.Equal(s.Excluded, other.Excluded)
}

// missedAnswers is how many questions in a row kube-proxy may leave unanswered before it counts as
// gone: it may be slow, or be restarting.
const missedAnswers = 4

// ProxyWatch asks this node's kube-proxy for its state from time to time.
type ProxyWatch struct {
	// Address is host:port of kube-proxy's metrics server.
	Address string // required
	// Changed is called by Ask when the state differs from the one before. The first state is no
	// change.
	Changed func() // required

	state atomic.Pointer[ProxyState]
	// missed is how many questions in a row had no answer. Only Ask uses it.
	missed int
}

// State returns what the last answer said. It is safe for concurrent use.
func (w *ProxyWatch) State() ProxyState {
	if s := w.state.Load(); s != nil {
		return *s
	}
	return ProxyState{}
}

// Run asks again and again until ctx ends.
func (w *ProxyWatch) Run(ctx context.Context) {
	for {
		pause := proxyInterval
		if w.State().Early {
			pause = proxyRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			w.Ask(ctx)
		}
	}
}

// Ask asks kube-proxy once. It is not safe for concurrent use.
func (w *ProxyWatch) Ask(ctx context.Context) {
	old := w.state.Load()
	state, err := w.read(ctx)
	if err == nil {
		w.missed = 0
	} else if w.missed++; old != nil && !old.Early && w.missed < missedAnswers {
		return
	} else {
		state = guess(err)
		state.Early = w.missed < missedAnswers
	}
	if old != nil && old.equal(state) || ctx.Err() != nil {
		return
	}
	w.state.Store(&state)
	if old != nil {
		w.Changed()
	}
}

// read asks kube-proxy for its mode, and in ipvs mode for its configuration.
func (w *ProxyWatch) read(ctx context.Context) (ProxyState, error) {
	ctx, cancel := context.WithTimeout(ctx, proxyTimeout)
	defer cancel()
	mode, err := w.get(ctx, "/proxyMode")
	if err != nil {
		return ProxyState{}, err
	}
	state := ProxyState{Mode: strings.TrimSpace(string(mode))}
	switch state.Mode {
	case modeIPVS:
	case modeIPTables, modeNFTables:
		return state, nil
	default:
		return ProxyState{Mode: modeUnknown}, nil
	}
	body, err := w.get(ctx, "/configz")
	if err != nil {
		return state, nil // if it does not say what it excludes, it may exclude nothing
	}
	state.Excluded = excludedCIDRs(body)
	return state, nil
}

func (w *ProxyWatch) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.Address+path, nil)
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

// excludedCIDRs returns those in kube-proxy's configuration. It reads the versioned form and the
// internal one, which older versions show: their names differ in upper and lower case only, which
// encoding/json ignores.
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

// ipvsDevice is what kube-proxy in ipvs mode keeps its addresses on.
const ipvsDevice = "kube-ipvs0"

// guess returns what can be known of a kube-proxy that does not answer: what it leaves in the
// kernel, or that it is not there.
func guess(err error) ProxyState {
	if _, missing := net.InterfaceByName(ipvsDevice); missing == nil {
		return ProxyState{Mode: modeIPVS}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return ProxyState{Mode: modeNone}
	}
	return ProxyState{Mode: modeUnknown}
}
