package echopod

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestManifests: each manifest has no field that Kubernetes does not know, and they fit together.
func TestManifests(t *testing.T) {
	var deployment appsv1.Deployment
	var set appsv1.StatefulSet
	var service, headless corev1.Service
	for _, m := range []struct {
		text string
		into any
	}{
		{Deployment("shop", "web", 3), &deployment}, {StatefulSet("shop", "db", 2), &set}, {Service("shop", "web"), &service}, {Headless("shop", "db"), &headless},
	} {
		if !strings.HasPrefix(strings.TrimSpace(m.text), "---\n") {
			t.Errorf("it cannot follow another manifest:\n%s", m.text)
		}
		if err := yaml.UnmarshalStrict([]byte(m.text), m.into); err != nil {
			t.Errorf("%v in\n%s", err, m.text)
		}
	}
	if *deployment.Spec.Replicas != 3 || deployment.Name != "web" || deployment.Namespace != "shop" || *set.Spec.Replicas != 2 || set.Spec.ServiceName != headless.Name {
		t.Errorf("got %+v and %+v", deployment.Spec, set.Spec)
	}
	labels := deployment.Spec.Template.Labels
	for key, value := range service.Spec.Selector {
		if labels[key] != value {
			t.Errorf("the Service selects %s=%s, the pods have %v", key, value, labels)
		}
	}
	port := deployment.Spec.Template.Spec.Containers[0].Ports[0]
	if service.Spec.Ports[0].TargetPort.StrVal != port.Name || headless.Spec.Ports[0].Port != port.ContainerPort || headless.Spec.ClusterIP != corev1.ClusterIPNone {
		t.Errorf("ports: %+v, %+v and %+v", service.Spec.Ports, headless.Spec.Ports, port)
	}
}
