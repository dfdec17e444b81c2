package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/test/demo"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// The ports of the server pod: each protocol once for tombolo's tunnel and once for the one made by
// hand; HTTP once more for the pod IP. A client that uses one source port for the clusterset IP and
// soon after for the pod IP behind it, with the same port, would meet IPVS's entry of the earlier
// connection.
const (
	iperfPort, iperfHandPort            = 5201, 5202
	httpPort, httpHandPort, httpPodPort = 8080, 8081, 8082
)

// prepare makes the namespaces, a server pod in the exporting cluster and a client pod in the
// importing one, both on workers, and waits until they run and CoreDNS knows clusterset.local.
func (b *bench) prepare(ctx context.Context) error {
	for cluster, manifest := range map[string]string{exporter: serverManifest(b.serverNode), importer: clientManifest(b.clientNode, b.self)} {
		if err := b.Apply(ctx, cluster, manifest); err != nil {
			return err
		}
	}
	for cluster, pod := range map[string]string{exporter: "server", importer: "client"} {
		if _, err := b.Kubectl(ctx, cluster, "--namespace", namespace, "wait", "--for=condition=Ready", "pod/"+pod, "--timeout=120s"); err != nil {
			return err
		}
		if _, err := demo.DNSReady(ctx, b.Shell, cluster); err != nil {
			return err
		}
	}
	return nil
}

// podManifest is the namespace and, on that node, a pod with these containers and volumes: the end
// of its YAML.
func podManifest(name, node, containers string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: bench}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: bench, labels: {app: %[1]s}}
spec:
  nodeSelector: {kubernetes.io/hostname: %[2]s}
  terminationGracePeriodSeconds: 1
  containers:%[3]s`, name, node, containers)
}

func serverManifest(node string) string {
	return podManifest("server", node, fmt.Sprintf(`
  - {name: http, image: "tombolo-net/echo:lab", imagePullPolicy: IfNotPresent, args: ["--http=:%d"]}
  - {name: http-hand, image: "tombolo-net/echo:lab", imagePullPolicy: IfNotPresent, args: ["--http=:%d"]}
  - {name: http-pod, image: "tombolo-net/echo:lab", imagePullPolicy: IfNotPresent, args: ["--http=:%d"]}
  - {name: iperf, image: "nicolaka/netshoot:v0.15", imagePullPolicy: IfNotPresent, command: [iperf3, -s, -p, "%d"]}
  - {name: iperf-hand, image: "nicolaka/netshoot:v0.15", imagePullPolicy: IfNotPresent, command: [iperf3, -s, -p, "%d"]}
`, httpPort, httpHandPort, httpPodPort, iperfPort, iperfHandPort))
}

func clientManifest(node, self string) string {
	return podManifest("client", node, fmt.Sprintf(`
  - name: tools
    image: nicolaka/netshoot:v0.15
    imagePullPolicy: IfNotPresent
    command: [sleep, infinity]
    volumeMounts: [{name: bench, mountPath: /bench}]
  volumes: [{name: bench, hostPath: {path: %s, type: File}}]
`, self))
}

// service is a Service without selector in the exporting cluster, or with one if selector is not
// nil.
func service(name string, selector map[string]string, ports ...int32) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{Selector: selector}}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("p%d", p), Port: p})
	}
	return s
}

func serviceExport(name string) *mcsv1beta1.ServiceExport {
	return &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

// slice is a slice of the Service whose endpoints are the addresses, all ready.
func slice(service string, port int32, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: service + "-bench",
			Labels: map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "bench"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To(fmt.Sprintf("p%d", port)), Port: ptr.To(port), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}})
	}
	return s
}

// createAll creates objects in the exporting cluster.
func (b *bench) createAll(ctx context.Context, objects ...client.Object) error {
	for _, o := range objects {
		if err := b.api[exporter].Create(ctx, o); err != nil {
			return fmt.Errorf("creating %T %s: %w", o, o.GetName(), err)
		}
	}
	return nil
}

// clusterSetIP waits for the import's clusterset IP in the importing cluster.
func (b *bench) clusterSetIP(ctx context.Context, name string) (netip.Addr, error) {
	text, err := shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
		var si mcsv1beta1.ServiceImport
		if err := b.api[importer].Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &si); err != nil {
			return "", err
		}
		if len(si.Spec.IPs) == 0 {
			return "", fmt.Errorf("serviceimport %s has no clusterset IP", name)
		}
		return si.Spec.IPs[0], nil
	})
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(text)
}

// podIP is the address of the server or client pod.
func (b *bench) podIP(ctx context.Context, cluster, pod string) (string, error) {
	out, err := b.Kubectl(ctx, cluster, "--namespace", namespace, "get", "pod", pod, "--output", "jsonpath={.status.podIP}")
	return strings.TrimSpace(out), err
}
