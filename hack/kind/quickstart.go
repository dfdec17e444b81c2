package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/test/kind/quickstart/stage"
	"github.com/tombolo-net/tombolo/test/lab/image"
)

// quickstart runs the commands of docs/quickstart.md, which make clusters of the names that ours have.
// It removes them, whatever happened, and fails if something of them is left.
func (t *tool) quickstart(ctx context.Context) error {
	if err := t.engine.Ready(ctx); err != nil {
		return err
	}
	before, err := t.inventory(ctx)
	if err != nil {
		return err
	}
	if err := t.checkNone(ctx); err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "tombolo-quickstart-")
	if err != nil {
		return fmt.Errorf("making a home for the page's reader: %w", err)
	}
	if !t.keep {
		defer os.RemoveAll(home)
	}
	err = t.runPage(ctx, home)
	if t.keep {
		fmt.Fprintf(os.Stderr, "kind: what the page made is left. Its reader's home is %s. `make kind-down` and `docker image rm %s` delete it\n", home, stage.Image)
		return err
	}
	last := context.WithoutCancel(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, t.stateOf(last, home))
	}
	_, _ = t.engine.Docker(last, "image", "rm", "--force", stage.Image) // the page's own clean-up may have got that far
	return errors.Join(err, t.checkedDown(last, before))
}

// runPage runs the test that types what the page says.
func (t *tool) runPage(ctx context.Context, home string) error {
	node, err := t.chooseImage(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for this program: %w", err)
	}
	path := strings.Join([]string{filepath.Join(home, ".local/bin"), t.kindBin, t.bin, os.Getenv("PATH")}, ":")
	environment := []string{stage.Home + "=" + home, stage.Path + "=" + path, "TOMBOLO_CACHE=" + t.cache}
	if ownImage(node) {
		environment = append(environment, stage.Create+"="+fmt.Sprintf("%s -image %s %s", self, node, standIn))
	}
	if t.keep {
		environment = append(environment, stage.Keep+"=1")
	}
	return step("the commands of docs/quickstart.md", "usually 3 minutes", func() error {
		return t.goTest(ctx, environment, "./test/kind/quickstart")
	})
}

// stateOf is what is known of the clusters of the kubeconfig in the home, whose contexts get the names
// that state looks for.
func (t *tool) stateOf(ctx context.Context, home string) string {
	err := os.Rename(filepath.Join(home, ".kube/config"), t.kubeconfig())
	if err == nil {
		err = t.contexts(ctx)
	}
	if err != nil {
		return err.Error()
	}
	return t.state(ctx)
}

// standIn is the command that stands in for `kind create cluster` where nothing can be pulled.
const standIn = "create"

// create makes a cluster from a configuration of kind, as kind does, into the kubeconfig of whoever
// runs it. Its nodes run an image that was built here. That has no network for pods, and the image
// that the page's pods run is not pulled, so both are given.
func (t *tool) create(ctx context.Context, name string, config io.Reader) error {
	text, err := io.ReadAll(config)
	if err != nil {
		return fmt.Errorf("reading the configuration of kind: %w", err)
	}
	text, pods, err := adapt(text, cgroupV1())
	if err != nil {
		return err
	}
	kind := func(stdin string, args ...string) error {
		cmd := exec.CommandContext(ctx, filepath.Join(t.kindBin, "kind"), args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), os.Stdout, os.Stderr
		return cmd.Run()
	}
	if err := kind(string(text), "create", "cluster", "--name", name, "--image", t.image, "--config", "-"); err != nil {
		return err
	}
	if err := t.connectPods(ctx, cluster{Name: name, Pods: pods}); err != nil {
		return err
	}
	archives, err := image.Ensure(ctx, filepath.Join(t.cache, "images"), os.Stderr, image.Agnhost)
	if err != nil {
		return err
	}
	return kind("", "load", "image-archive", "--name", name, archives[0].Path)
}

// adapt adds to a configuration of kind what nodes of our own image need, and nothing else. pods are
// the CIDRs of the cluster's pods.
func adapt(config []byte, onCgroupV1 bool) (adapted []byte, pods string, err error) {
	var all struct {
		Networking map[string]any `json:"networking"`
		Patches    []string       `json:"kubeadmConfigPatches,omitempty"`
	}
	rest := map[string]any{}
	if err := errors.Join(yaml.Unmarshal(config, &all), yaml.Unmarshal(config, &rest)); err != nil {
		return nil, "", fmt.Errorf("reading the configuration of kind: %w", err)
	}
	pods, ok := all.Networking["podSubnet"].(string)
	if !ok {
		return nil, "", errors.New("the configuration of kind has no networking.podSubnet")
	}
	all.Networking["disableDefaultCNI"] = true
	rest["networking"] = all.Networking
	if onCgroupV1 {
		rest["kubeadmConfigPatches"] = append(all.Patches, acceptCgroupV1)
	}
	adapted, err = yaml.Marshal(rest)
	return adapted, pods, err
}
