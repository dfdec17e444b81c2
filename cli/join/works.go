package join

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// works waits until the cluster is connected and nothing of it is wrong. What it waits for, it says.
// An error says what is wrong still. began is when join did.
func (o *options) works(ctx context.Context, cluster *access.Cluster, began time.Time, say func(string)) error {
	ctx, stop := context.WithTimeout(ctx, o.timeout)
	defer stop()
	var last []string
	err := snapshot.Follow(ctx, []*access.Cluster{cluster}, func(snapshots []topology.Snapshot) (bool, error) {
		findings := topology.Of(snapshots).Findings
		last = waitingFor(&snapshots[0], findings)
		if len(last) == 0 {
			return true, nil
		}
		say(last[0])
		return false, errors.Join(final(findings), o.noWireGuard(&snapshots[0], began))
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w after %s:\n  %s\nkubectl tombolo status --watch shows how it goes on", errNotInTime, o.timeout, strings.Join(last, "\n  "))
	}
	return err
}

// waitingFor says what the cluster still lacks to work; nothing: it works.
func waitingFor(s *topology.Snapshot, findings []topology.Finding) []string {
	if away := cmp.Or(s.Unreadable, s.Behind); away != "" {
		return []string{"the API server does not answer: " + away}
	}
	if s.ClusterSet == nil || s.ClusterSet.Status.ObservedGeneration != s.ClusterSet.Generation {
		return []string{"the operator has not seen the ClusterSet yet: are its pods running?"}
	}
	var all []string
	for _, f := range findings {
		if f.Severity == topology.SeverityError && f.Kind != "ServiceExport" && f.Kind != "ServiceImport" {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s: %s", f.Kind, f.Name, f.Message)))
		}
	}
	if !meta.IsStatusConditionTrue(s.ClusterSet.Status.Conditions, v1alpha1.ConditionHubConnected) && len(all) == 0 {
		all = append(all, "the operator connects to the hub")
	}
	if len(s.GatewayNodes) == 0 {
		all = append(all, "no gateway has reported yet")
	}
	for i := range s.GatewayNodes {
		if !meta.IsStatusConditionTrue(s.GatewayNodes[i].Status.Conditions, v1alpha1.ConditionReady) {
			all = append(all, fmt.Sprintf("gateway %s is not ready yet", s.GatewayNodes[i].Name))
		}
	}
	for i := range s.RemoteClusters {
		c := meta.FindStatusCondition(s.RemoteClusters[i].Status.Conditions, v1alpha1.ConditionReachable)
		if c == nil || c.Status != metav1.ConditionTrue && c.Reason != v1alpha1.ReasonNoGateways { // one without gateways has not joined yet
			all = append(all, fmt.Sprintf("cluster %s is not reachable yet", s.RemoteClusters[i].Name))
		}
	}
	return all
}

// final is an error if waiting does not help.
func final(findings []topology.Finding) error {
	for _, f := range findings {
		switch f.Reason {
		case v1alpha1.ReasonClusterIDInUse, v1alpha1.ReasonRemoved, v1alpha1.ReasonNotAuthoritative:
			return fmt.Errorf("%s %s: %s", f.Kind, f.Name, f.Message)
		}
	}
	return nil
}

// noWireGuard is an error if a gateway has no WireGuard: neither its kernel's, nor one that it may run
// itself. Only what was found since join began counts: what was found before may have been mended.
func (o *options) noWireGuard(s *topology.Snapshot, began time.Time) error {
	if o.manifest.UserspaceWireGuard {
		return nil
	}
	for i := range s.GatewayNodes {
		c := meta.FindStatusCondition(s.GatewayNodes[i].Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Reason != v1alpha1.ReasonKernelModuleMissing || c.LastTransitionTime.Time.Before(began.Truncate(time.Second)) {
			continue
		}
		return fmt.Errorf("gateway %s: %s; or repeat with --userspace-wireguard, and the gateways run it themselves", s.GatewayNodes[i].Name, c.Message)
	}
	return nil
}
