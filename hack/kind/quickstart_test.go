package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// The configuration of a page gets what nodes of our own image need, and loses nothing.
func TestAdapt(t *testing.T) {
	const config = `
apiVersion: kind.x-k8s.io/v1alpha4
kind: Cluster
networking: {podSubnet: 10.1.0.0/16, serviceSubnet: 10.101.0.0/16}
nodes: [{role: control-plane}, {role: worker}]
kubeadmConfigPatches: ["{kind: InitConfiguration}"]
`
	const want = `
apiVersion: kind.x-k8s.io/v1alpha4
kind: Cluster
networking: {podSubnet: 10.1.0.0/16, serviceSubnet: 10.101.0.0/16, disableDefaultCNI: true}
nodes: [{role: control-plane}, {role: worker}]
kubeadmConfigPatches: ["{kind: InitConfiguration}", "{kind: KubeletConfiguration, failCgroupV1: false}"]
`
	adapted, pods, err := adapt([]byte(config), true)
	if err != nil || pods != "10.1.0.0/16" {
		t.Fatalf("pods %q, error %v", pods, err)
	}
	var got, expected map[string]any
	if err := yaml.UnmarshalStrict(adapted, &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, _, err := adapt([]byte("kind: Cluster"), true); err == nil {
		t.Error("a configuration without the pods' CIDR is no error")
	}
}
