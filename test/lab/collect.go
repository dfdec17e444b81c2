package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// collectTimeout bounds the questions to a lab that failed: some of them may hang.
	collectTimeout = 20 * time.Second
	// collectParallel is how many logs are fetched at once.
	collectParallel = 8
)

// collect writes what is only in nodes and API servers into the folder logs/pods: the containers'
// logs, as cluster/namespace_pod_container.log, and each cluster's events. It says which containers
// did not run all the time. It does what it can.
func (l *Lab) collect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	g := &errgroup.Group{}
	g.SetLimit(collectParallel)
	var errs []error
	for _, c := range l.topology.Clusters {
		if err := l.collectCluster(ctx, c.Name, g); err != nil {
			errs = append(errs, fmt.Errorf("collecting logs of pods in cluster %s: %w", c.Name, err))
		}
	}
	return errors.Join(append(errs, g.Wait())...)
}

func (l *Lab) collectCluster(ctx context.Context, cluster string, g *errgroup.Group) error {
	dir := filepath.Join(l.dir, "logs", "pods", cluster)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(l.controlPlane.Cluster(cluster).RESTConfig())
	if err != nil {
		return err
	}
	events, err := client.CoreV1().Events("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "events.log"), describeEvents(events.Items), 0o644); err != nil {
		return err
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		for _, s := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			if s.RestartCount > 0 {
				l.progress.say("%s: pod %s/%s: %s", cluster, pod.Namespace, pod.Name, describeRestarts(s))
			}
			for _, o := range logsOf(s) {
				g.Go(func() error { return fetchLog(ctx, client, pod.Namespace, pod.Name, o, dir) })
			}
		}
	}
	return nil
}

// describeRestarts says how often a container was started again, and how it ended the last time.
func describeRestarts(s corev1.ContainerStatus) string {
	text := fmt.Sprintf("container %s was started again %d times", s.Name, s.RestartCount)
	if last := s.LastTerminationState.Terminated; last != nil {
		text += fmt.Sprintf("; the last time it ended at %s with code %d (%s)", last.FinishedAt.UTC().Format(time.TimeOnly), last.ExitCode, last.Reason)
	}
	return text
}

// logsOf returns which logs a container has: that of its run before, too.
func logsOf(s corev1.ContainerStatus) []corev1.PodLogOptions {
	var logs []corev1.PodLogOptions
	if s.State.Waiting == nil || s.RestartCount > 0 {
		logs = append(logs, corev1.PodLogOptions{Container: s.Name})
	}
	if s.RestartCount > 0 {
		logs = append(logs, corev1.PodLogOptions{Container: s.Name, Previous: true})
	}
	return logs
}

func fetchLog(ctx context.Context, client kubernetes.Interface, namespace, pod string, o corev1.PodLogOptions, dir string) error {
	name := strings.Join([]string{namespace, pod, o.Container}, "_")
	if o.Previous {
		name += "_previous"
	}
	log, err := client.CoreV1().Pods(namespace).GetLogs(pod, &o).Stream(ctx)
	if err != nil {
		return fmt.Errorf("fetching log of %s: %w", name, err)
	}
	defer log.Close() // it is only read
	f, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return fmt.Errorf("writing log of %s: %w", name, err)
	}
	_, err = io.Copy(f, log)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing log of %s: %w", name, err)
	}
	return nil
}

// describeEvents returns a line for each event.
func describeEvents(events []corev1.Event) []byte {
	var text strings.Builder
	for _, e := range events {
		at := e.LastTimestamp.Time
		if at.IsZero() {
			at = e.EventTime.Time
		}
		o := e.InvolvedObject
		fmt.Fprintf(&text, "%s %s %s %s/%s %s: %s\n", at.UTC().Format(time.RFC3339), e.Type, o.Kind, o.Namespace, o.Name, e.Reason, e.Message)
	}
	return []byte(text.String())
}
