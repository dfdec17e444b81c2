//go:build integration || e2e

package web

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/tombolo-net/tombolo/cli"
)

var screenshots = flag.String("screenshots", "", "folder to write pictures for the docs into")

// within is how long a step in the browser may take.
const within = 30 * time.Second

// root is the tree.
const root = "../.."

var browser context.Context // the browser that all tests share, each with a tab of its own

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard()) // as the command does
	klog.SetLogger(logr.Discard())
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP evil.example 127.0.0.1")) // as a site would let its name resolve
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	var end func()
	browser, end = chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(browser); err != nil {
		fmt.Fprintln(os.Stderr, "starting chromium (hack/deps.sh web installs it):", err)
		return 1
	}
	return m.Run()
}

// serve runs `kubectl tombolo web`, and returns the address that it prints.
func serve(t *testing.T, kubeconfig, contexts string) string {
	t.Helper()
	read, write := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	command := cli.NewCommand("test", genericiooptions.IOStreams{In: strings.NewReader(""), Out: write, ErrOut: io.Discard})
	command.SetArgs([]string{"web", "--kubeconfig", kubeconfig, "--contexts", contexts})
	go func() {
		err := command.ExecuteContext(ctx)
		write.CloseWithError(io.EOF)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("kubectl tombolo web: %v", err)
		}
	})
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("kubectl tombolo web prints no address: %v", err)
	}
	return strings.TrimSpace(line)
}

// look is how a page is looked at.
type look struct {
	width, height int64
	dark          bool
}

func (l look) String() string {
	if l.dark {
		return fmt.Sprintf("%d-dark", l.width)
	}
	return fmt.Sprintf("%d-light", l.width)
}

// looks are narrow and wide, light and dark.
var looks = []look{{360, 740, false}, {360, 740, true}, {1400, 900, false}, {1400, 900, true}}

// tab is one tab of the browser.
type tab struct {
	*testing.T

	ctx context.Context //nolint:containedctx // chromedp's: it stands for the tab
}

// open opens the address. Whatever the console says fails the test.
func open(t *testing.T, address string, l look) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser)
	p := &tab{T: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil { // without a limit of time: the tab would end with it
		t.Fatal(err)
	}
	console := chromedp.Console(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for said, err := range console {
			if err != nil {
				return
			}
			if said.Type != chromedp.ConsoleLog && said.Type != chromedp.ConsoleDebug && said.Type != chromedp.ConsoleInfo {
				t.Errorf("the browser's console says: %s", said)
			}
		}
	}()
	t.Cleanup(func() {
		end()
		<-ended
	})
	p.do(l.emulate(), chromedp.Navigate(address))
	return p
}

func (l look) emulate() chromedp.Action[chromedp.Void] {
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	return chromedp.Steps(chromedp.EmulateViewport(l.width, l.height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, stop := context.WithTimeout(p.ctx, within)
	defer stop()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.Fatal(err)
	}
}

// eval is the value of an expression, which may be a promise.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	ctx, stop := context.WithTimeout(p.ctx, within)
	defer stop()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%.200s: %v", expression, err)
	}
	return value
}

// run runs statements.
func (p *tab) run(statements string) {
	p.Helper()
	eval[bool](p, statements+"; true")
}

// until waits until the expression is true.
func (p *tab) until(expression string) {
	p.Helper()
	ctx, stop := context.WithTimeout(p.ctx, within)
	defer stop()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		p.Fatalf("%s: %v; the page shows\n%s", expression, err, eval[string](p, "document.body.innerText"))
	}
}

// says waits until the element's text contains all of the words.
func (p *tab) says(selector string, words ...string) {
	p.Helper()
	for _, word := range words {
		p.until(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q)", selector, word))
	}
}

// visit goes to a view.
func (p *tab) visit(hash string) {
	p.Helper()
	p.run(fmt.Sprintf("location.hash = %q", hash))
}

// picture writes a picture for the docs, if they are asked for.
func (p *tab) picture(name string) {
	p.Helper()
	if *screenshots == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644); err != nil {
		p.Fatal(err)
	}
}

// audit is what axe-core finds wrong with what the page shows.
func (p *tab) audit() {
	p.Helper()
	source, err := os.ReadFile(axe(p.T))
	if err != nil {
		p.Fatal(err)
	}
	if !eval[bool](p, "window.axe !== undefined") {
		p.run(string(source))
	}
	said := eval[string](p, "axe.run(document, {resultTypes: ['violations']}).then((found) => JSON.stringify(found.violations))")
	var found []struct {
		ID    string
		Help  string
		Nodes []struct {
			HTML           string
			FailureSummary string
		}
	}
	if err := json.Unmarshal([]byte(said), &found); err != nil {
		p.Fatal(err)
	}
	for _, v := range found {
		for _, n := range v.Nodes {
			p.Errorf("axe-core: %s: %s: %.200s: %s", v.ID, v.Help, n.HTML, n.FailureSummary)
		}
	}
}

// axe is the path of axe-core.
var axe = func() func(*testing.T) string {
	path := sync.OnceValues(func() (string, error) {
		out, err := exec.Command(filepath.Join(root, "hack/axe.sh")).Output()
		return strings.TrimSpace(string(out)), err
	})
	return func(t *testing.T) string {
		t.Helper()
		file, err := path()
		if err != nil {
			t.Fatalf("fetching axe-core: %v", err)
		}
		return file
	}
}()
