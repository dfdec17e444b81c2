// Package installation owns what the operator says about its own installation: whether the CRDs have
// every field of this version, and whether the admission policies refuse what they should. It looks
// and tries; it installs nothing.
package installation

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// lookAgain is after how long a complete installation is looked at again.
	lookAgain = 10 * time.Minute
	// timeout is how long one look may take.
	timeout = 10 * time.Second
)

// remedy is what mends each problem.
const remedy = "apply the manifests of this version, or upgrade the Helm release"

// Checker looks at the installation. It is not safe for concurrent use.
type Checker struct {
	client  client.Client // for a write without effect
	direct  client.Reader // not cached
	schemas openapi.ClientWithContext

	complete time.Time // when the installation was last seen to be complete
}

// NewChecker returns a Checker of this cluster.
func NewChecker(c cluster.Cluster) (*Checker, error) {
	d, err := discovery.NewDiscoveryClientForConfigAndClient(c.GetConfig(), c.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("preparing to read this cluster's schemas: %w", err)
	}
	schemas := openapi.ToClientWithContext(d.OpenAPIV3())
	return &Checker{client: c.GetClient(), direct: c.GetAPIReader(), schemas: schemas}, nil
}

// Condition returns what the condition Installed should say. have are the conditions as they are:
// a complete installation is looked at again only after ten minutes. After an error nothing is known.
func (c *Checker) Condition(ctx context.Context, have []metav1.Condition) (metav1.Condition, error) {
	before := meta.FindStatusCondition(have, v1alpha1.ConditionInstalled)
	if before != nil && before.Status == metav1.ConditionTrue && time.Since(c.complete) < lookAgain {
		return *before, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	problems, err := outdated(ctx, c.schemas)
	if err != nil {
		return metav1.Condition{}, err
	}
	if len(problems) > 0 {
		return incomplete(v1alpha1.ReasonCRDsOutdated, problems, "what only they hold is lost"), nil
	}
	problems, err = c.powerless(ctx)
	if apierrors.IsForbidden(err) {
		return incomplete(v1alpha1.ReasonRolesOutdated, []string{err.Error()}, "the roles are of an older version"), nil
	}
	if err != nil {
		return metav1.Condition{}, err
	}
	if len(problems) > 0 {
		return incomplete(v1alpha1.ReasonPoliciesMissing, problems, "tombolo's accounts may write more than they should"), nil
	}
	c.complete = time.Now()
	return metav1.Condition{
		Type: v1alpha1.ConditionInstalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonInstalled,
		Message: "the CRDs have every field of this version, and the admission policies refuse",
	}, nil
}

// incomplete says what is wrong and what follows from it.
func incomplete(reason string, problems []string, effect string) metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionInstalled, Status: metav1.ConditionFalse, Reason: reason,
		Message: fmt.Sprintf("%s; %s: %s", clusterset.NameSome(problems), effect, remedy),
	}
}
