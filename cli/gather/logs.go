package gather

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// Bounds of what is asked for at once, and of one answer.
const (
	atOnce     = 8
	oneRequest = 30 * time.Second
	maxLines   = 50_000
)

// logs puts the logs of tombolo's pods into the bundle, also those of containers that ended.
func (g *gathering) logs(ctx context.Context, say func(string)) error {
	clientset, err := kubernetes.NewForConfig(g.Config)
	if err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range g.pods {
		pod := &g.pods[i]
		restarts := map[string]int32{}
		for _, s := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			restarts[s.Name] = s.RestartCount
		}
		for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
			for _, previous := range []bool{false, true} {
				if previous && restarts[c.Name] == 0 {
					continue
				}
				group.Go(func() error {
					say("log of pod " + pod.Name)
					return g.log(ctx, clientset, pod, c.Name, previous)
				})
			}
		}
	}
	return group.Wait()
}

func (g *gathering) log(ctx context.Context, clientset kubernetes.Interface, pod *corev1.Pod, container string, previous bool) error {
	what := fmt.Sprintf("log of container %s of pod %s", container, pod.Name)
	name := container + ".log"
	if previous {
		what, name = what+", before its last restart", container+".previous.log"
	}
	within, stop := context.WithTimeout(ctx, oneRequest)
	defer stop()
	options := &corev1.PodLogOptions{Container: container, Previous: previous, Timestamps: true, TailLines: ptr.To(int64(maxLines))}
	if !previous {
		options.SinceSeconds = ptr.To(int64(g.since / time.Second))
	}
	stream, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(within)
	if err != nil {
		g.lack(what, err)
		return nil
	}
	defer stream.Close()
	text, cut, err := tail(stream, g.logBytes)
	if err != nil {
		g.lack("the end of the "+what, err)
	}
	if cut {
		g.lack("the beginning of the "+what, errors.New("it is longer than --log-bytes"))
	}
	if len(text) == 0 {
		return nil
	}
	return g.bundle.add(fmt.Sprintf("%s/logs/%s/%s", g.facts.Folder, pod.Name, name), what, text)
}

// tail reads to the end and returns the last bytes, at most limit, and whether there were more.
func tail(in io.Reader, limit int) (text []byte, cut bool, err error) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := in.Read(buffer)
		if text = append(text, buffer[:n]...); len(text) > 2*limit {
			text, cut = append([]byte(nil), text[len(text)-limit:]...), true
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if len(text) > limit {
			text, cut = text[len(text)-limit:], true
		}
		return text, cut, err
	}
}
