//go:build kind

// Package quickstart types what docs/quickstart.md says, one block after the other, and asserts that one
// sees what the page says. `make e2e-quickstart` runs it, with what hack/kind prepares.
package quickstart

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/kind/quickstart/stage"
)

// steps are the blocks of the page, by the words with which each begins, and what one sees after it.
var steps = []struct {
	begins string
	sees   func(r *reader, output string)
}{
	{"make docker-build", (*reader).seesCommands},
	{"for n in 1 2; do", (*reader).seesClusters},
	{"kubectl tombolo check", (*reader).seesFit},
	{"HUB_SERVER=", (*reader).seesItWorks},
	{"kubectl tombolo verify", (*reader).seesPassed},
	{"for context in", (*reader).seesExported},
	{"kubectl --context kind-west -n shop run client", (*reader).seesPodOfEast},
	{"kubectl tombolo status", (*reader).seesTheWay},
	{"kubectl --context kind-west -n shop create deployment web", (*reader).seesBoth},
	{"kubectl --context kind-east -n shop scale deployment web", (*reader).seesWestAlone},
	{"kind delete cluster", (*reader).seesNothing},
}

func TestQuickstart(t *testing.T) {
	page, err := os.ReadFile("../../../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```(?:sh)?\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != len(steps) {
		t.Fatalf("the page has %d blocks of commands, and the test knows what one sees after %d", len(blocks), len(steps))
	}
	if all := strings.Count("\n"+string(page), "\n```"); all != 2*len(blocks) {
		t.Fatalf("the page has %d fences for %d blocks of commands: some block is of another kind", all, len(blocks))
	}
	r := &reader{t}
	for i, step := range steps {
		block := blocks[i][1]
		if !strings.HasPrefix(block, step.begins) {
			t.Fatalf("block %d does not begin with %q:\n%s", i+1, step.begins, block)
		}
		if i == len(steps)-1 && os.Getenv(stage.Keep) != "" {
			return
		}
		step.sees(r, r.follows(block))
	}
}

// reader is who reads the page.
type reader struct{ *testing.T }

// What the page says that one may see where a cluster joins, and how one then repeats that.
const (
	noWireGuard = "the kernel has no WireGuard"
	userspace   = " --userspace-wireguard"
)

var joins = regexp.MustCompile(`(?m)^  kubectl tombolo join - .*$`)

// follows types a block of the page, and returns what one sees. A command that fails ends the test.
func (r *reader) follows(block string) string {
	r.Helper()
	out, err := r.types(block)
	if err != nil && joins.MatchString(block) && strings.Contains(out, noWireGuard) {
		out, err = r.types(joins.ReplaceAllString(block, "${0}"+userspace))
	}
	if err != nil {
		r.Fatalf("the block ended with %v:\n%s", err, block)
	}
	return out
}

// types types commands and returns all that they print.
func (r *reader) types(commands string) (string, error) {
	ctx, stop := context.WithTimeout(r.Context(), 15*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", standIns+commands)
	cmd.Dir = "../../.."
	cmd.Env = r.environment()
	cmd.WaitDelay = 10 * time.Second
	var printed bytes.Buffer
	out := io.MultiWriter(&printed, os.Stderr)
	cmd.Stdout, cmd.Stderr = out, out
	r.Logf("typing:\n%s", commands)
	began := time.Now()
	err := cmd.Run()
	r.Logf("that took %.0f s", time.Since(began).Seconds())
	return printed.String(), err
}

// environment is that of a reader with a home of their own. Go keeps what it has built.
func (r *reader) environment() []string {
	r.Helper()
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KUBECONFIG=") })
	for _, name := range []string{"GOENV", "GOPATH", "GOCACHE"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			r.Fatalf("asking for %s: %v", name, err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return append(env, "HOME="+os.Getenv(stage.Home), "PATH="+os.Getenv(stage.Path))
}

// asks returns what a command prints that the page does not have.
func (r *reader) asks(command string) string {
	r.Helper()
	out, err := r.types(command)
	if err != nil {
		r.Fatalf("%s: %v", command, err)
	}
	return out
}

// wants is an error if what was printed lacks one of the words.
func (r *reader) wants(output string, words ...string) {
	r.Helper()
	for _, w := range words {
		if !strings.Contains(output, w) {
			r.Errorf("want %q in:\n%s", w, output)
		}
	}
}

// wantsMarks is an error if a line has a mark of something wrong, or no line has one of something right.
func (r *reader) wantsMarks(output string) {
	r.Helper()
	if strings.Contains(output, "✗") || !strings.Contains(output, "✓") {
		r.Errorf("want lines with ✓ and none with ✗:\n%s", output)
	}
}

func (r *reader) seesCommands(out string) { r.wants(out, "Usage:", "join", "verify", "explain") }

func (r *reader) seesClusters(string) {
	out := r.asks("kind get clusters")
	r.wants(out, "east\n", "west\n")
}

func (r *reader) seesFit(out string) {
	r.wantsMarks(out)
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "✓") && !strings.HasPrefix(line, "kind-") {
			r.Errorf("want ✓ at the beginning of each line, got %q", line)
		}
	}
}

func (r *reader) seesItWorks(out string) {
	if got := strings.Count(out, "✓ it works"); got != 2 {
		r.Errorf("%d clusters work, want 2:\n%s", got, out)
	}
}

func (r *reader) seesPassed(out string) { r.wantsMarks(out) }

func (r *reader) seesExported(out string) { r.wants(out, "✓ exported Service shop/web") }

func (r *reader) seesPodOfEast(out string) {
	answer := out[strings.LastIndex(out, "\n")+1:]
	r.wants(strings.Join(r.pods("east"), " "), answer)
	if answer == "" {
		r.Errorf("no answer:\n%s", out)
	}
}

// pods are the names of the pods of web in a cluster.
func (r *reader) pods(cluster string) []string {
	r.Helper()
	return strings.Fields(r.asks("kubectl --context kind-" + cluster + " -n shop get pods -l app=web -o 'jsonpath={.items[*].metadata.name}'"))
}

func (r *reader) seesTheWay(out string) {
	r.wants(out, "east", "west", "shop/web", "web.shop.svc.clusterset.local, from pod shop/client")
	r.wantsMarks(out)
}

// requests are how many the page makes.
const requests = 20

// answers are how often each pod answered, as `uniq -c` prints it. They have to be as many as requests.
func (r *reader) answers(out string) map[string]string {
	r.Helper()
	all, sum := map[string]string{}, 0
	for _, line := range regexp.MustCompile(`(?m)^ *(\d+) (web-\S+)$`).FindAllStringSubmatch(out, -1) {
		all[line[2]] = line[1]
		n, err := strconv.Atoi(line[1])
		if err != nil {
			r.Fatal(err)
		}
		sum += n
	}
	if sum != requests {
		r.Errorf("%d of %d requests were answered:\n%s", sum, requests, out)
	}
	return all
}

func (r *reader) seesBoth(out string) {
	answered := r.answers(out)
	for _, cluster := range []string{"east", "west"} {
		if !slices.ContainsFunc(r.pods(cluster), func(pod string) bool { return answered[pod] != "" }) {
			r.Errorf("no pod of %s answered: %v", cluster, answered)
		}
	}
}

func (r *reader) seesWestAlone(out string) {
	answered := r.answers(out)
	if pods := r.pods("west"); len(pods) != 1 || len(answered) != 1 || answered[pods[0]] == "" {
		r.Errorf("%v answered, want the pod of west alone: %v", answered, pods)
	}
}

func (r *reader) seesNothing(string) {
	if out := r.asks("kind get clusters --quiet"); strings.TrimSpace(out) != "" {
		r.Errorf("clusters are left: %s", out)
	}
}
