//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// The ports on which the servers listen.
const (
	httpPort = 8080
	udpPort  = 5300
)

// service selects pods by app; without one it has no selector. It has all IP families of its cluster.
func service(name, app string, ports ...corev1.ServicePort) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
		Ports: ports, IPFamilyPolicy: new(corev1.IPFamilyPolicyPreferDualStack),
	}}
	if app != "" {
		s.Spec.Selector = map[string]string{"app": app}
	}
	return s
}

func headless(s *corev1.Service) *corev1.Service {
	s.Spec.ClusterIP = corev1.ClusterIPNone
	return s
}

func tcp(name string, port int32, target int) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Protocol: corev1.ProtocolTCP, Port: port, TargetPort: intstr.FromInt(target)}
}

func udp(name string, port int32, target int) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Protocol: corev1.ProtocolUDP, Port: port, TargetPort: intstr.FromInt(target)}
}

func export(name string) *mcsv1beta1.ServiceExport {
	return &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// full are a Service with those ports and its export, with all that an import carries.
func full(name string, ports ...corev1.ServicePort) (*corev1.Service, *mcsv1beta1.ServiceExport) {
	s, e := service(name, "nobody", ports...), export(name)
	s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(30))}}
	s.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyCluster)
	s.Spec.TrafficDistribution = new(corev1.ServiceTrafficDistributionPreferSameZone)
	e.Spec.ExportedLabels, e.Spec.ExportedAnnotations = map[string]string{"tier": "front"}, map[string]string{"owner": "shop"}
	return s, e
}

// servers is a template of pods that answer with their names.
func servers(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To(int64(1)),
			Containers: []corev1.Container{{
				Name: "echo", Image: "tombolo-net/echo:lab", ImagePullPolicy: corev1.PullIfNotPresent,
				Args:  []string{fmt.Sprintf("--http=:%d", httpPort), fmt.Sprintf("--udp=:%d", udpPort)},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: httpPort}},
			}},
		},
	}
}

// tools is a container that asks.
func tools() corev1.Container {
	return corev1.Container{Name: "tools", Image: "nicolaka/netshoot:v0.15", ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sleep", "infinity"}}
}

func deployment(app string, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, Template: servers(app),
		},
	}
}

func statefulSet(app string, replicas int32) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec: appsv1.StatefulSetSpec{
			ServiceName: app, Replicas: &replicas, PodManagementPolicy: appsv1.ParallelPodManagement,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, Template: servers(app),
		},
	}
}

// imported returns the ServiceImport of a cluster.
func (s *scene) imported(ctx context.Context, c *cluster, name string) (*mcsv1beta1.ServiceImport, error) {
	var found mcsv1beta1.ServiceImport
	return &found, s.fetch(ctx, c, name, &found)
}

// notImported returns nil if a cluster has no ServiceImport of this name.
func (s *scene) notImported(ctx context.Context, c *cluster, name string) error {
	_, err := s.imported(ctx, c, name)
	if err == nil {
		return fmt.Errorf("%s has a ServiceImport %s", c.name, name)
	}
	if apierrors.IsNotFound(errors.Unwrap(err)) {
		return nil
	}
	return err
}

// condition returns an error unless the ServiceExport's condition is so; an empty reason stands for
// any.
func (s *scene) condition(ctx context.Context, c *cluster, name string, kind mcsv1beta1.ServiceExportConditionType,
	status metav1.ConditionStatus, reason mcsv1beta1.ServiceExportConditionReason) error {
	var found mcsv1beta1.ServiceExport
	if err := s.fetch(ctx, c, name, &found); err != nil {
		return err
	}
	got := meta.FindStatusCondition(found.Status.Conditions, string(kind))
	if got == nil || got.Status != status || reason != "" && got.Reason != string(reason) || got.ObservedGeneration != found.Generation && got.ObservedGeneration != 0 {
		return fmt.Errorf("%s: ServiceExport %s: condition %s is %+v, want %s %s", c.name, name, kind, got, status, reason)
	}
	return nil
}

// running returns the pods of the app once there are so many, and all of them run and have
// addresses.
func (s *scene) running(t *testing.T, c *cluster, app string, count int) (pods []corev1.Pod) {
	t.Helper()
	eventually(t, podsWithin, func(ctx context.Context) error {
		var list corev1.PodList
		if err := c.List(ctx, &list, client.InNamespace(s.namespace), client.MatchingLabels{"app": app}); err != nil {
			return err
		}
		pods = list.Items
		run := 0
		for _, p := range pods {
			if p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" {
				run++
			}
		}
		if run != count || len(pods) != count {
			return fmt.Errorf("%s: %d of %d pods %s run, want %d", c.name, run, len(pods), app, count)
		}
		return nil
	})
	return pods
}
