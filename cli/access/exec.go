package access

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
)

// Exec runs a program in the pod's first container, with stdin as its standard input (nil: none),
// and returns what it wrote to its standard output, with an error too. The error has what it wrote to
// its standard error.
func (c *Cluster) Exec(ctx context.Context, pod *corev1.Pod, stdin io.Reader, command ...string) ([]byte, error) {
	clientset, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return nil, fmt.Errorf("preparing a client of context %q: %w", c.Context, err)
	}
	request := clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: pod.Spec.Containers[0].Name, Command: command,
			Stdin: stdin != nil, Stdout: true, Stderr: true}, clientgoscheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.Config, "GET", request.URL().String())
	if err != nil {
		return nil, fmt.Errorf("preparing to run %s in pod %s: %w", strings.Join(command, " "), pod.Name, err)
	}
	var out, errs bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: &out, Stderr: &errs}); err != nil {
		return out.Bytes(), fmt.Errorf("running %s in pod %s: %w: %s", strings.Join(command, " "), pod.Name, err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}
