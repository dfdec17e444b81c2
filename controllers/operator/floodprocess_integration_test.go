//go:build integration

package operator_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/bench/resources"
)

// process is a member's operator as it is installed: the program, with the environment and the memory
// limit that its manifest gives it.
type process struct {
	cmd   *exec.Cmd
	limit float64 // bytes
}

// startProcess starts the operator, which it builds if there is none. The operator has the rights of its
// manifest, and reaches the API servers through the member's gates.
func (m *member) startProcess(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	path, kubeconfig := cmp.Or(*program, filepath.Join(dir, "tombolo")), filepath.Join(dir, "kubeconfig")
	if *program == "" {
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/tombolo-net/tombolo/cmd/tombolo").CombinedOutput(); err != nil {
			t.Fatalf("building tombolo: %v: %s", err, out)
		}
	}
	who := m.ownConfig.Impersonate
	config := clientcmdapi.Config{
		CurrentContext: m.Name(),
		Clusters:       map[string]*clientcmdapi.Cluster{m.Name(): {Server: m.ownConfig.Host, CertificateAuthorityData: m.ownConfig.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{m.Name(): {Impersonate: who.UserName, ImpersonateGroups: who.Groups}},
		Contexts:       map[string]*clientcmdapi.Context{m.Name(): {Cluster: m.Name(), AuthInfo: m.Name()}},
	}
	if err := clientcmd.WriteToFile(config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	container := operatorContainer(t)
	p := &process{
		cmd:   exec.CommandContext(t.Context(), path, "operator", "--namespace", v1alpha1.DefaultNamespace, "--listen-address", "127.0.0.1:0"),
		limit: container.Resources.Limits.Memory().AsApproximateFloat64(),
	}
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	for _, v := range container.Env {
		switch {
		case v.Value != "":
			p.cmd.Env = append(p.cmd.Env, v.Name+"="+v.Value)
		case v.ValueFrom.ResourceFieldRef != nil:
			p.cmd.Env = append(p.cmd.Env, fmt.Sprintf("%s=%.0f", v.Name, p.limit))
		}
	}
	m.lines = &lines{}
	p.cmd.Stdout, p.cmd.Stderr = m.lines, m.lines
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		err := p.cmd.Wait()
		if t.Failed() {
			t.Logf("the operator of %s ended (%v), and said last:\n%s", m.Name(), err, m.lines.tail())
		}
	})
	return p
}

// operatorContainer is the one in config/operator.
func operatorContainer(t *testing.T) corev1.Container {
	t.Helper()
	text, err := os.ReadFile("../../config/operator/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	deployment := &appsv1.Deployment{}
	if err := yaml.Unmarshal(text, deployment); err != nil {
		t.Fatal(err)
	}
	return deployment.Spec.Template.Spec.Containers[0]
}

// wantBelowLimit fails the test if the process ended, or ever needed more memory than its limit.
func (p *process) wantBelowLimit(t *testing.T) {
	t.Helper()
	cpu, err := resources.CPU(p.cmd.Process.Pid)
	if err != nil {
		t.Fatalf("the operator has ended: %v", err)
	}
	now, peak, err := resources.Memory(p.cmd.Process.Pid)
	if err != nil {
		t.Fatalf("the operator has ended: %v", err)
	}
	t.Logf("its memory was %.0f MB at most and is %.0f MB; its limit is %.0f MB; it computed %v", peak/1e6, now/1e6, p.limit/1e6, cpu.Round(time.Second))
	if peak >= p.limit {
		t.Errorf("the operator needed %.0f bytes, its limit is %.0f", peak, p.limit)
	}
}
