package testbed

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Ports of the Services, and of the servers.
const (
	ServicePort = 80
	ServerPort  = 8080
)

// Shared is the Service that all clusters export.
const Shared = "echo"

const (
	clientName = "client"
	servers    = 2
)

// Ordinary is the name of the site's Service with a clusterset IP.
func (s *Site) Ordinary() string { return fmt.Sprintf("echo-%d", s.Number) }

// Headless is the name of the site's headless Service.
func (s *Site) Headless() string { return fmt.Sprintf("headless-%d", s.Number) }

// Sticky is the name of the site's Service with session affinity.
func (s *Site) Sticky() string { return fmt.Sprintf("sticky-%d", s.Number) }

// Services are the names of all Services that the site exports.
func (s *Site) Services() []string {
	return []string{s.Ordinary(), s.Headless(), s.Sticky(), Shared}
}

// objects are all that a site has, the namespace first.
func (b *Bed) objects(s *Site) []client.Object {
	all := []client.Object{&corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: b.Namespace, Labels: map[string]string{Label: "true"}},
	}, b.pod(s, clientName, "echo", "serve")}
	for i := range servers {
		server := b.pod(s, fmt.Sprintf("server-%d", i+1), "echo", "serve")
		server.Labels["app"] = "server"
		all = append(all, server)
	}
	for _, name := range s.Services() {
		all = append(all, b.service(s, name))
	}
	for _, name := range s.Services() {
		all = append(all, &mcsv1beta1.ServiceExport{
			TypeMeta:   metav1.TypeMeta{APIVersion: mcsv1beta1.GroupVersion.String(), Kind: "ServiceExport"},
			ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: name},
		})
	}
	return all
}

// pod runs tombolo's image as the level "restricted" of the Pod Security Standards asks for, away
// from the other pods of the bed and from gateways if there is room.
func (b *Bed) pod(s *Site, name string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: name, Labels: map[string]string{Label: "true"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To[int64](1),
			AutomountServiceAccountToken:  ptr.To(false),
			NodeSelector:                  map[string]string{corev1.LabelOSStable: "linux"},
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Affinity: apart(),
			Containers: []corev1.Container{{
				Name: "echo", Image: s.image, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
				Env: []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
					TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(ServerPort)}}},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
}

func apart() *corev1.Affinity {
	return &corev1.Affinity{
		PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: 10, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{Label: "true"}}},
		}}},
		NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
			Weight: 5, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{
				Key: v1alpha1.LabelGateway, Operator: corev1.NodeSelectorOpDoesNotExist,
			}}},
		}}},
	}
}

func (b *Bed) service(s *Site, name string) *corev1.Service {
	service := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: name},
		Spec: corev1.ServiceSpec{
			IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicyPreferDualStack),
			Selector:       map[string]string{"app": "server"},
			Ports: []corev1.ServicePort{
				{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: ServicePort, TargetPort: intstr.FromInt32(ServerPort)},
				{Name: "udp", Protocol: corev1.ProtocolUDP, Port: ServicePort, TargetPort: intstr.FromInt32(ServerPort)},
			},
		},
	}
	switch name {
	case s.Headless():
		service.Spec.ClusterIP = corev1.ClusterIPNone
	case s.Sticky():
		service.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	return service
}

// Name is how pods of the clusterset call a Service of the bed.
func (b *Bed) Name(service string) string {
	return service + "." + b.Namespace + ".svc.clusterset.local."
}
