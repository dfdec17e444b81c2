package exchange

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/bench/resources"
	"github.com/tombolo-net/tombolo/test/harness/scrape"
	"github.com/tombolo-net/tombolo/test/lab/controlplane"
)

// stopTimeout is how long the operator may take to end.
const stopTimeout = 15 * time.Second

// process is the operator of the measured member: the real binary, alone in its process.
type process struct {
	cmd      *exec.Cmd
	profiles string        // where it serves them, host:port
	done     chan struct{} // closed once it has ended
}

// startOperator starts the binary with the identity and the rights that its manifests give it.
func startOperator(ctx context.Context, binary string, cluster *controlplane.Cluster, dir string) (*process, error) {
	kubeconfig, err := operatorKubeconfig(cluster, dir)
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	logs, err := os.Create(filepath.Join(dir, "operator.log"))
	if err != nil {
		return nil, err
	}
	defer logs.Close() // the process has it then
	cmd := exec.CommandContext(ctx, binary, "operator", "--namespace", v1alpha1.DefaultNamespace,
		"--listen-address", addresses[0], "--profile-address", addresses[1])
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, profiles: addresses[1], done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is bound to the thread that forked
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its log says why
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	return p, nil
}

// running says, as an error, that the operator has ended.
func (p *process) running() error {
	select {
	case <-p.done:
		return fmt.Errorf("the operator has ended: %s: see operator.log in its folder", p.cmd.ProcessState)
	default:
		return nil
	}
}

// stop asks the operator to end, and waits.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// waitProfiles waits until the operator serves its profiles.
func (p *process) waitProfiles(ctx context.Context) error {
	return await(ctx, stopTimeout, func() (bool, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.profiles)
		if err != nil {
			return false, nil //nolint:nilerr // it has not begun yet
		}
		return true, conn.Close()
	})
}

// saveProfile writes one of the operator's profiles to a file; "heap?gc=1" is what is in use.
func (p *process) saveProfile(ctx context.Context, profile, file string) error {
	data, err := scrape.Get(ctx, http.DefaultClient, "http://"+p.profiles+"/debug/pprof/"+profile)
	if err != nil {
		return fmt.Errorf("taking profile %s of the operator: %w", profile, err)
	}
	return os.WriteFile(file, data, 0o644)
}

// freeAddresses returns ports of the loopback that are free at this moment.
func freeAddresses(n int) ([]string, error) {
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are chosen
		all = append(all, l.Addr().String())
	}
	return all, nil
}

// operatorKubeconfig is the administrator's, in the name of the operator's ServiceAccount.
func operatorKubeconfig(cluster *controlplane.Cluster, dir string) (string, error) {
	config, err := clientcmd.LoadFromFile(cluster.Kubeconfig())
	if err != nil {
		return "", err
	}
	for _, user := range config.AuthInfos {
		user.Impersonate = fmt.Sprintf("system:serviceaccount:%s:tombolo-operator", v1alpha1.DefaultNamespace)
		user.ImpersonateGroups = []string{"system:serviceaccounts", "system:serviceaccounts:" + v1alpha1.DefaultNamespace, "system:authenticated"}
	}
	path := filepath.Join(dir, "operator.kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}

// memory is how much of the operator is in memory now, and was at most, in bytes.
func (p *process) memory() (now, peak float64, err error) {
	return resources.Memory(p.cmd.Process.Pid)
}

// cpu is how long the operator has computed so far.
func (p *process) cpu() (time.Duration, error) { return resources.CPU(p.cmd.Process.Pid) }
