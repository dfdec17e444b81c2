package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/harness/install"
	"github.com/tombolo-net/tombolo/test/lab/image"
)

// up makes the clusters and says what to type next.
func (t *tool) up(ctx context.Context) error {
	if err := t.make(ctx); err != nil {
		return fmt.Errorf("%w\n`make kind-down` removes what is there", err)
	}
	fmt.Printf(next, t.kubeconfig())
	return nil
}

// next is what a person can do in the clusters.
const next = `
The clusters east and west are up, with tombolo in both and the hub in east. Try:

  export KUBECONFIG=%s
  kubectl --context west get clusterset,remoteclusters
  for c in east west; do kubectl --context $c create namespace shop; done
  kubectl --context east -n shop create deployment web --image=tombolo-net/echo:lab --replicas=2
  kubectl --context east -n shop expose deployment web --port=80 --target-port=8080
  kubectl --context east -n shop apply -f config/samples/serviceexport.yaml
  kubectl --context west -n shop run client -it --rm --restart=Never --image=nicolaka/netshoot:v0.15 -- \
    curl -sS http://web.shop.svc.clusterset.local/

make kind-down deletes both.
`

// make makes the clusters, with tombolo in them.
func (t *tool) make(ctx context.Context) error {
	if err := t.engine.Ready(ctx); err != nil {
		return err
	}
	if err := t.checkNone(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(t.kubeconfig()); err != nil { // of clusters that are gone
		return err
	}
	image, err := t.chooseImage(ctx)
	if err != nil {
		return err
	}
	archives, err := t.archives(ctx)
	if err != nil {
		return err
	}
	for _, c := range t.clusters { // kind makes one at a time, or two would make its network at once
		err := step("making cluster "+c.Name, "usually 25 s", func() error { return t.makeCluster(ctx, c, image) })
		if err != nil {
			return err
		}
	}
	if err := t.contexts(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, c := range t.clusters {
		g.Go(func() error { return t.equip(gctx, c, image, archives) })
	}
	err = step("connecting pods, loading images", "usually 10 s", g.Wait)
	if err != nil {
		return err
	}
	return step("installing tombolo", "usually 30 s", func() error { return t.install(ctx) })
}

// step says what is done, and how long it took.
func step(what, usually string, do func() error) error {
	begun := time.Now()
	fmt.Fprintf(os.Stderr, "kind: %s (%s)\n", what, usually)
	err := do()
	if err == nil {
		fmt.Fprintf(os.Stderr, "kind: %s: done in %.1f s\n", what, time.Since(begun).Seconds())
	}
	return err
}

// equip gives a cluster what it lacks: a network for its pods, and images.
func (t *tool) equip(ctx context.Context, c cluster, image string, archives []string) error {
	var err error
	switch {
	case t.cni != "":
		err = t.runCNI(ctx, c)
	case ownImage(image):
		err = t.connectPods(ctx, c)
	}
	if err != nil {
		return err
	}
	if _, err := t.run(ctx, "", "kind", slices.Concat([]string{"load", "image-archive", "--name", c.Name}, archives)...); err != nil {
		return err
	}
	_, err = t.run(ctx, "", "kubectl", "--context", c.Name, "wait", "--for=condition=Ready", "--timeout=120s", "nodes", "--all")
	return err
}

// archives are the images of tombolo and of the pods that the tests make.
func (t *tool) archives(ctx context.Context) ([]string, error) {
	cache := filepath.Join(t.cache, "images")
	tombolo, err := image.Tombolo(ctx, cache, "bin/tombolo")
	if err != nil {
		return nil, err
	}
	others, err := image.Ensure(ctx, cache, os.Stderr, image.Echo, image.Tools)
	if err != nil {
		return nil, err
	}
	paths := []string{tombolo.Path}
	for _, a := range others {
		paths = append(paths, a.Path)
	}
	return paths, nil
}

// install makes both clusters members. The control planes' nodes are the gateways.
func (t *tool) install(ctx context.Context) error {
	first := t.clusters[0]
	field := "IPAddress"
	if first.Family == "ipv6" {
		field = "GlobalIPv6Address"
	}
	address, err := t.engine.Docker(ctx, "inspect", "--format", "{{(index .NetworkSettings.Networks \"kind\")."+field+"}}", first.gateway())
	if err != nil {
		return err
	}
	hub, err := netip.ParseAddr(strings.TrimSpace(address))
	if err != nil {
		return fmt.Errorf("reading the address of %s: %w", first.gateway(), err)
	}
	cfg := install.Config{
		Kubectl: filepath.Join(t.bin, "kubectl"), Kubeconfig: t.kubeconfig(),
		Hub:       "hub",
		Manifests: "config", Member: "hack/kind/member",
		Waiting: func(string) func() { return func() {} },
	}
	for _, c := range t.clusters {
		if _, err := t.run(ctx, "", "kubectl", "--context", c.Name, "label", "--overwrite", "node", c.gateway(), "clusterset.tombolo.dev/gateway=true"); err != nil {
			return err
		}
		member := install.Cluster{Name: c.Name, Nodes: len(c.nodes()), HubServer: "https://" + netip.AddrPortFrom(hub, 6443).String()}
		for cidr := range strings.SplitSeq(c.Pods, ",") {
			prefix, err := netip.ParsePrefix(cidr)
			if err != nil {
				return fmt.Errorf("reading the CIDRs of %s: %w", c.Name, err)
			}
			member.PodCIDRs = append(member.PodCIDRs, prefix)
		}
		cfg.Clusters = append(cfg.Clusters, member)
	}
	return install.Run(ctx, cfg)
}

// down deletes the clusters, and ends Docker if it was started for them. It may be repeated.
func (t *tool) down(ctx context.Context) error {
	if err := t.engine.Ready(ctx); err != nil {
		return err
	}
	return errors.Join(t.delete(ctx), t.engine.Stop(ctx))
}

// delete deletes the clusters and what was made for them.
func (t *tool) delete(ctx context.Context) error {
	args := []string{"delete", "clusters", "--kubeconfig", t.kubeconfig()}
	for _, c := range t.clusters {
		args = append(args, c.Name)
	}
	_, err := t.run(ctx, "", "kind", args...)
	others, errOthers := t.existing(ctx)
	if err == nil && errOthers == nil && len(others) == 0 {
		// kind leaves its network, and makes it again when it needs it.
		_, _ = t.engine.Docker(ctx, "network", "rm", "kind")
	}
	errConfig := os.RemoveAll(t.kubeconfig())
	return errors.Join(err, errOthers, errConfig)
}
