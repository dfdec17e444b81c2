package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/explain"
)

// entering is how long an ephemeral container may take to start and end.
const entering = 20 * time.Second

// askInPod asks inside the client's pod what was asked on its node.
func (g *gatherer) askInPod(ctx context.Context) explain.Told {
	q := g.facts.Attempts()
	q.Names = []string{g.facts.Name.String()}
	namespace, name, _ := strings.Cut(g.facts.Client.Pod, "/")
	told, err := enter(ctx, g.clusters[0], client.ObjectKey{Namespace: namespace, Name: name}, q)
	if err != nil {
		return explain.Told{Unasked: err.Error()}
	}
	return told
}

// enter runs an ephemeral container of tombolo's image in the pod, and returns what it found out.
func enter(ctx context.Context, cluster *access.Cluster, key client.ObjectKey, q explain.Question) (told explain.Told, err error) {
	ctx, stop := context.WithTimeout(ctx, entering)
	defer stop()
	image, err := snapshot.Image(ctx, cluster)
	if err != nil {
		return told, err
	}
	question, err := json.Marshal(q)
	if err != nil {
		return told, err
	}
	pod := &corev1.Pod{}
	if err := cluster.Get(ctx, key, pod); err != nil {
		return told, fmt.Errorf("reading pod %s: %w", key, err)
	}
	container := asking(image, string(question))
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, container)
	if err := cluster.SubResource("ephemeralcontainers").Update(ctx, pod); err != nil {
		return told, fmt.Errorf("adding an ephemeral container to pod %s: %w", key, err)
	}
	if err := ended(ctx, cluster, key, container.Name); err != nil {
		return told, err
	}
	clientset, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		return told, err
	}
	out, err := clientset.CoreV1().Pods(key.Namespace).GetLogs(key.Name, &corev1.PodLogOptions{Container: container.Name}).DoRaw(ctx)
	if err != nil {
		return told, fmt.Errorf("reading what container %s of pod %s says: %w", container.Name, key, err)
	}
	if err := json.Unmarshal(out, &told.Reply); err != nil {
		return told, fmt.Errorf("reading what container %s of pod %s says: %w: %s", container.Name, key, err, out)
	}
	return told, nil
}

// asking is a container that the level "restricted" of the Pod Security Standards admits.
func asking(image, question string) corev1.EphemeralContainer {
	return corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "tombolo-ask-" + utilrand.String(5), Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Command: []string{"/tombolo", "ask", "--question", question},
		SecurityContext: &corev1.SecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532), AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem: ptr.To(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
	}}
}

// ended waits for the end of the container.
func ended(ctx context.Context, cluster client.Reader, key client.ObjectKey, container string) error {
	why := "it has not started"
	err := wait.PollUntilContextCancel(ctx, 300*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		pod := &corev1.Pod{}
		if err := cluster.Get(ctx, key, pod); err != nil {
			return false, err
		}
		for _, s := range pod.Status.EphemeralContainerStatuses {
			if s.Name != container {
				continue
			}
			if w := s.State.Waiting; w != nil {
				why = w.Reason + " " + w.Message
			}
			return s.State.Terminated != nil, nil
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the end of container %s of pod %s (%s): %w", container, key, strings.TrimSpace(why), err)
	}
	return nil
}
