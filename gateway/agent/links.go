package agent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// writeLinks writes this gateway's entry in each RemoteCluster whose entry is out of date.
func (a *Agent) writeLinks(ctx context.Context, remotes []v1alpha1.RemoteCluster, result *tunnelResult) error {
	var errs []error
	for _, r := range remotes {
		i := slices.IndexFunc(r.Status.Links, func(l v1alpha1.GatewayLinks) bool { return l.Gateway == a.cfg.NodeName })
		var old []v1alpha1.Link
		if i >= 0 {
			old = r.Status.Links[i].Links
		}
		links := linksOf(v1alpha1.ClusterID(r.Name), result, old)
		if equality.Semantic.DeepEqual(links, old) {
			continue
		}
		err := a.applyLinks(ctx, r.Name, links)
		if err == nil {
			logLinks(ctx, r.Name, old, links)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// logLinks logs which links have come up or gone down.
func logLinks(ctx context.Context, cluster string, before, now []v1alpha1.Link) {
	for _, link := range now {
		if slices.ContainsFunc(before, func(b v1alpha1.Link) bool { return b.RemoteGateway == link.RemoteGateway && b.State == link.State }) {
			continue
		}
		logr.FromContextOrDiscard(ctx).Info("link changed its state", "cluster", cluster, "remoteGateway", link.RemoteGateway,
			"state", link.State, "since", link.Since.UTC(), "message", link.Message)
	}
}

func (a *Agent) applyLinks(ctx context.Context, cluster string, links []v1alpha1.Link) error {
	status := map[string]any{}
	if len(links) > 0 {
		entry, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.GatewayLinks{Gateway: a.cfg.NodeName, Links: links})
		if err != nil {
			return fmt.Errorf("encoding links to %s: %w", cluster, err)
		}
		status["links"] = []any{entry}
	}
	return a.applyStatus(ctx, partial("RemoteCluster", "", cluster, "status", status))
}

// linksOf are this gateway's links to the cluster, sorted by the remote gateways' names; nil if
// there are none. What has not changed since old is the same as there.
func linksOf(cluster v1alpha1.ClusterID, result *tunnelResult, old []v1alpha1.Link) []v1alpha1.Link {
	var links []v1alpha1.Link
	for _, l := range result.plan.Links {
		s, ok := result.statuses[linkName(l.LinkID)]
		if l.Cluster != cluster || !ok {
			continue
		}
		link := v1alpha1.Link{
			RemoteGateway: l.Gateway, State: s.State, Since: metav1.NewTime(s.Since.Truncate(time.Second)),
			Flapping: s.Downs >= downsOfFlapping, Message: linkMessage(l, s, result.alive[l.LinkID]),
		}
		var before v1alpha1.Link
		if i := slices.IndexFunc(old, func(p v1alpha1.Link) bool { return p.RemoteGateway == l.Gateway }); i >= 0 {
			before = old[i]
		}
		if before.State == link.State && !before.Since.IsZero() {
			link.Since = before.Since
		}
		if link.State == v1alpha1.LinkUp {
			link.RTTMilliseconds = roundRTT(before.RTTMilliseconds, s.RTT)
			link.LossPercent = roundLoss(before.LossPercent, s.Loss)
		}
		links = append(links, link)
	}
	slices.SortFunc(links, func(x, y v1alpha1.Link) int { return strings.Compare(x.RemoteGateway, y.RemoteGateway) })
	return links
}

// downsOfFlapping is how often a link that flaps has gone down within ten minutes.
const downsOfFlapping = 3

// linkMessage says what to look at when a link is not up or does not stay up. Of a link that is up, it
// says why flows leave it.
func linkMessage(l plan.Link, s probe.Status, alive bool) string {
	const doesNotHear = "its gateway hears nothing from us: does a firewall drop UDP port"
	switch {
	case s.State == v1alpha1.LinkUp && s.Draining:
		return "its gateway drains: flows leave it while another link is up"
	case s.State == v1alpha1.LinkUp && s.Downs < downsOfFlapping:
		return ""
	case s.State == v1alpha1.LinkUp && s.Late >= s.Downs:
		return "it goes down again and again: this gateway's agent often does not get to run in time: does its node lack CPU?"
	case s.State == v1alpha1.LinkUp:
		return "it goes down again and again: are packets lost on the way, or does the node of either gateway lack CPU?"
	case s.PeerSaysDown && !s.Heard:
		return fmt.Sprintf("our probes to %s are answered, but its gateway gets no answers from us: are packets lost on the way there?", l.TunnelAddress)
	case s.Heard && alive:
		return fmt.Sprintf("probes from %s arrive, but %s %d on the way there, or at either end?", l.TunnelAddress, doesNotHear, l.Endpoint.Port())
	case alive:
		return fmt.Sprintf("WireGuard has a session, but probes to %s are not answered: is its gateway agent running, and does its firewall admit UDP port %d?",
			l.TunnelAddress, probe.Port)
	}
	if len(l.Endpoints) < 2 {
		return fmt.Sprintf("no answer to WireGuard handshakes with %s: does UDP pass between this node and %s?", l.Endpoint, l.Endpoint)
	}
	tried := make([]string, 0, len(l.Endpoints))
	for _, e := range l.Endpoints {
		tried = append(tried, e.String())
	}
	return fmt.Sprintf("no answer to WireGuard handshakes, tried in turn with %s: does UDP pass to any?", clusterset.NameSome(tried))
}

const (
	// rttSlack and rttSlackShare are how far the mean may be from the published round trip before
	// it is published again: 5 ms, or a quarter of it.
	rttSlack      = 5 * time.Millisecond
	rttSlackShare = 4
)

// roundRTT is the round trip to publish, in whole milliseconds; at least 1 if one was measured. It
// stays the same while the mean is near it.
func roundRTT(before int32, mean time.Duration) int32 {
	published := time.Duration(before) * time.Millisecond
	if mean == 0 || before != 0 && (mean-published).Abs() <= max(rttSlack, published/rttSlackShare) {
		return before
	}
	return int32(max(mean.Round(time.Millisecond)/time.Millisecond, 1))
}

const (
	// lossSlack and lossSlackShare are how far the loss may be from the published one before it is
	// published again: one percent, or a quarter of it.
	lossSlack      = 1
	lossSlackShare = 4
)

// roundLoss is the loss to publish, in whole percent. It stays the same while the share is near it.
func roundLoss(before int32, share float64) int32 {
	published, percent := float64(before), 100*share
	if before != 0 && percent < 0.5 {
		return 0
	}
	if math.Abs(percent-published) <= max(lossSlack, published/lossSlackShare) {
		return before
	}
	return int32(math.Round(percent))
}
