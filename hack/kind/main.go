// Command kind makes two clusters of kind with tombolo in them, tests them and removes them. What
// needs its own home is below this folder: Docker in engine, the node image in node.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/hack/kind/engine"
	"github.com/tombolo-net/tombolo/hack/kind/node"
	"github.com/tombolo-net/tombolo/hack/testbin"
)

const usage = `usage: go run ./hack/kind [flags] up|down|test|e2e|quickstart|check|image

  up      make the clusters east and west, install tombolo, and say what to type next
  down    delete the clusters, with all that they left
  test    run the demo's steps and the conformance tests in the clusters of up
  e2e     up, test, the Helm chart's life on west, down; it fails if something is left
  quickstart
          run the commands of docs/quickstart.md, which make clusters of the same names, and
          remove them; it fails if something is left. -keep leaves the clusters
  check   fail, and print what this machine lacks, if it cannot do it
  image   build the node image for machines that cannot pull kindest/node, and print its name

The program of -cni, such as hack/kind/cni/flannel.sh, finds kubectl, kind and docker in its PATH, and
in its environment, separated by spaces where there are several:
  CLUSTER     the name of the cluster, and of its context in KUBECONFIG
  NODES       its nodes, which are containers, the control plane first
  POD_CIDRS   for all pods

`

// tool is what every subcommand works with.
type tool struct {
	engine   *engine.Engine
	cache    string // what is kept: images, the kubeconfig
	bin      string // testbin's default set
	kindBin  string // testbin's set for kind
	programs string // tombolo's own
	image    string // of the nodes, as the user wants it
	cni      string // the program that connects pods; empty: kind's own network
	keep     bool   // what quickstart made
	labTests bool   // run more tests

	clusters []cluster
}

func main() {
	log.SetLogger(logr.Discard()) // what has no logger of its own is nothing to the user
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	image := flag.String("image", "", "the nodes' `image`; \"build\" builds one; by default kind's own if Docker Hub answers, else a built one")
	cni := flag.String("cni", "", "what connects the pods of the clusters that up and e2e make: a `program` that runs once for each cluster; by default kind's own, or on nodes of a built image routes like its")
	families := flag.String("ip-family", "ipv4,dual", "the IP families of the clusters that up and e2e make: ipv4, ipv6 or dual, or two of them with a comma between, of east and west")
	labTests := flag.Bool("lab-tests", false, "also run tests that otherwise only a lab runs, as far as they can run here, for machines that cannot boot one")
	keep := flag.Bool("keep", false, "leave what quickstart made, to look into it")
	flag.Parse()
	both, err := clusters(*families)
	if err == nil {
		err = run(ctx, tool{image: *image, cni: *cni, keep: *keep, labTests: *labTests, clusters: both}, flag.Args())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "kind: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, t tool, args []string) error {
	if err := t.find(); err != nil {
		return err
	}
	if len(args) == 2 && args[0] == standIn {
		return t.create(ctx, args[1], os.Stdin)
	}
	switch strings.Join(args, " ") {
	case "up":
		return t.up(ctx)
	case "down":
		return t.down(ctx)
	case "e2e":
		return t.e2e(ctx)
	case "test":
		return t.test(ctx)
	case "quickstart":
		return t.quickstart(ctx)
	case "check":
		return t.check(ctx)
	case "image":
		return t.printImage(ctx)
	}
	flag.Usage()
	return fmt.Errorf("unknown command %q", strings.Join(args, " "))
}

// find fills in where things are.
func (t *tool) find() error {
	cache, err := testbin.CacheDir()
	if err != nil {
		return err
	}
	t.cache = cache
	t.engine = &engine.Engine{Dir: filepath.Join(cache, "kind"), Progress: os.Stderr}
	if t.bin, err = testbin.Dir(); err != nil {
		return err
	}
	if t.kindBin, err = testbin.SetDir(testbin.KindSet); err != nil {
		return err
	}
	t.programs, err = filepath.Abs("bin")
	return err
}

// check prints on the standard output what is missing: the rest that is printed is progress.
func (t *tool) check(ctx context.Context) error {
	err := t.engine.Ready(ctx)
	if err != nil {
		fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return errors.Join(err, t.engine.Stop(ctx))
}

func (t *tool) printImage(ctx context.Context) error {
	if err := t.engine.Ready(ctx); err != nil {
		return err
	}
	ref, err := t.buildImage(ctx)
	if err == nil {
		fmt.Println(ref)
	}
	return err
}

func (t *tool) buildImage(ctx context.Context) (string, error) {
	return node.Ensure(ctx, node.Config{Cache: t.cache, Bin: t.bin, KindBin: t.kindBin, Progress: os.Stderr})
}
