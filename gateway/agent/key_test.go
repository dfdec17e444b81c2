package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

func newKey(t *testing.T) wireguard.PrivateKey {
	t.Helper()
	key, err := wireguard.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// disk is a key file in memory.
type disk struct {
	content           keyfile.Content
	readErr, writeErr error
	writes            int
}

func (d *disk) Read() (keyfile.Content, error) { return d.content, d.readErr }

func (d *disk) Write(key wireguard.PrivateKey) error {
	d.writes++
	if d.writeErr == nil {
		d.content, d.readErr = keyfile.Content{Key: key}, nil
	}
	return d.writeErr
}

func (d *disk) String() string { return "the-file" }

// eventReasons are the reasons of events.
type eventReasons []string

func (e *eventReasons) Eventf(_, _ runtime.Object, _, reason, _, _ string, _ ...any) {
	*e = append(*e, reason)
}

// keyAgent is an agent on a node with that disk, with a device that uses a key if inUse is not nil, and
// with a Secret of an older version if old is not nil.
func keyAgent(t *testing.T, d *disk, inUse *wireguard.PrivateKey, old map[string][]byte) (*Agent, client.Client, *eventReasons) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	builder := fake.NewClientBuilder().WithScheme(scheme)
	if old != nil {
		builder.WithObjects(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: v1alpha1.GatewayKeysSecret}, Data: old})
	}
	k, c, events := &memoryKernel{}, builder.Build(), &eventReasons{}
	if inUse != nil {
		k.tunnels.Devices = []wireguard.Device{{Name: "tombolo0", PrivateKey: *inUse}}
	}
	return New(Config{Client: c, Secrets: c, Key: d, Kernel: k.kernel(), NodeName: "node", Namespace: "ns", Events: events}), c, events
}

func TestSettleKey(t *testing.T) {
	own, other, third := newKey(t), newKey(t), newKey(t)
	entry := func(text string) map[string][]byte {
		return map[string][]byte{"node": []byte(text), "other": []byte("x")}
	}
	file := func(key wireguard.PrivateKey) disk { return disk{content: keyfile.Content{Key: key}} }
	none, damaged := disk{readErr: fs.ErrNotExist}, disk{readErr: keyfile.ErrDamaged}
	for _, tc := range []struct {
		name  string
		disk  disk
		old   map[string][]byte // in the Secret; nil: there is no Secret
		inUse *wireguard.PrivateKey
		// want is nil for any key.
		want   *wireguard.PrivateKey
		writes int
		told   eventReasons
	}{
		{name: "in the file", disk: file(own), want: &own},
		{name: "in the file, another in use: the file was changed", disk: file(own), inUse: &other, want: &own},
		{name: "nowhere", disk: none, writes: 1},
		{name: "in use", disk: none, inUse: &other, want: &other, writes: 1},
		{name: "of an older version", disk: none, old: entry(own.Text() + "\n"), inUse: &own, want: &own, writes: 1},
		{name: "of an older version that was started again meanwhile", disk: file(third), old: entry(own.Text()), inUse: &own, want: &own, writes: 1},
		{name: "written, and not yet removed from the API", disk: file(own), old: entry(own.Text()), want: &own},
		{name: "damaged in the API", disk: none, old: entry("hush"), inUse: &other, want: &other, writes: 1},
		{name: "of others", disk: none, old: map[string][]byte{"other": []byte("x")}, writes: 1},
		{name: "an empty Secret", disk: none, old: map[string][]byte{}, writes: 1},
		{name: "damaged file", disk: damaged, writes: 1, told: eventReasons{reasonKeyFileDamaged}},
		{name: "damaged file, one in use", disk: damaged, inUse: &other, want: &other, writes: 1, told: eventReasons{reasonKeyFileDamaged}},
		{name: "others could read it", disk: disk{content: keyfile.Content{Key: own, Exposed: 0o644}}, want: &own, told: eventReasons{reasonKeyFileExposed}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, c, events := keyAgent(t, &tc.disk, tc.inUse, tc.old)
			for range 2 {
				if err := a.settleKey(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			got, known := a.privateKey()
			if !known || tc.want != nil && got != *tc.want {
				t.Errorf("known: %t, or it is another key", known)
			}
			if tc.disk.content.Key != got || tc.disk.writes != tc.writes {
				t.Errorf("the file has the key: %t; %d writes, want %d", tc.disk.content.Key == got, tc.disk.writes, tc.writes)
			}
			if !slices.Equal(*events, tc.told) {
				t.Errorf("events %v, want %v", *events, tc.told)
			}
			if tc.old == nil {
				return
			}
			after := &corev1.Secret{}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: v1alpha1.GatewayKeysSecret}, after); err != nil {
				t.Fatal(err)
			}
			_, had := tc.old["node"]
			want := map[string][]byte{}
			for name, text := range tc.old {
				if name != "node" {
					want[name] = text
				}
			}
			if diff := cmp.Diff(len(want), len(after.Data)); diff != "" || after.Data["node"] != nil {
				t.Errorf("keys in the API (-want +got):\n%s", diff)
			}
			if moved := after.Annotations[v1alpha1.AnnotationKeysMoved] == "true"; moved != had {
				t.Errorf("marked as moved: %t, want %t", moved, had)
			}
		})
	}
}

// A key that others know is used although the node cannot keep it, and stays in the API. A new one is
// not used. The error names the file and the remedy.
func TestKeyThatIsNotKept(t *testing.T) {
	own := newKey(t)
	broken := errors.New("read-only file system")
	for _, tc := range []struct {
		name  string
		disk  disk
		old   map[string][]byte
		inUse *wireguard.PrivateKey
		known bool
	}{
		{"of an older version", disk{readErr: fs.ErrNotExist, writeErr: broken}, map[string][]byte{"node": []byte(own.Text())}, nil, true},
		{"in use", disk{readErr: fs.ErrNotExist, writeErr: broken}, nil, &own, true},
		{"in use, and the file cannot be read", disk{readErr: broken}, nil, &own, true},
		{"the file cannot be read", disk{readErr: broken}, nil, nil, false},
		{"a new one", disk{readErr: fs.ErrNotExist, writeErr: broken}, nil, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, c, _ := keyAgent(t, &tc.disk, tc.inUse, tc.old)
			err := a.settleKey(t.Context())
			if !errors.Is(err, errKey) || !errors.Is(err, broken) || !strings.Contains(err.Error(), "the-file of node node") {
				t.Errorf("error is %v", err)
			}
			got, known := a.privateKey()
			if known != tc.known || known && got != own {
				t.Errorf("known: %t, or it is another key", known)
			}
			if errors.Is(tc.disk.readErr, broken) && tc.disk.writes > 0 {
				t.Error("a file that cannot be read was written")
			}
			if tc.old != nil {
				after := &corev1.Secret{}
				if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: v1alpha1.GatewayKeysSecret}, after); err != nil || len(after.Data) != 1 {
					t.Errorf("the API has lost the key that the node does not keep: %v", err)
				}
			}
			tc.disk.writeErr = nil
			if errors.Is(tc.disk.readErr, broken) {
				tc.disk.readErr = fs.ErrNotExist
			}
			if err := a.settleKey(t.Context()); err != nil {
				t.Errorf("after the disk was mended: %v", err)
			}
			if now, _ := a.privateKey(); tc.known && now != got || tc.disk.content.Key != now {
				t.Error("after the disk was mended it is another key, or not kept")
			}
		})
	}
}

// While the API server does not answer, nothing is decided. A gateway without rights to the Secret has
// no key there.
func TestKeyWithoutAPI(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"away", errors.New("connection refused"), false},
		{"no right", apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "x", nil), true},
	} {
		d := &disk{readErr: fs.ErrNotExist}
		a, c, _ := keyAgent(t, d, nil, nil)
		a.cfg.Secrets = interceptor.NewClient(c.(client.WithWatch), interceptor.Funcs{
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return tc.err
			},
		})
		err := a.settleKey(t.Context())
		if _, known := a.privateKey(); known != tc.want || (err == nil) != tc.want || d.writes > 0 != tc.want {
			t.Errorf("%s: known %t, %d writes, error %v", tc.name, known, d.writes, err)
		}
	}
}

// With the real file, too, the second start has the key of the first.
func TestKeyLasts(t *testing.T) {
	file := keyfile.At(filepath.Join(t.TempDir(), "tombolo", "gateway.key"))
	var keys []wireguard.PrivateKey
	for range 2 {
		a, _, _ := keyAgent(t, &disk{}, nil, nil)
		a.cfg.Key = file
		if err := a.settleKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		key, _ := a.privateKey()
		keys = append(keys, key)
	}
	if keys[0] != keys[1] {
		t.Error("the second start has another key")
	}
}

// A new key is told to others when this node's own packets have left the tunnels of the old one: others
// end its sessions then.
func TestNewKeyIsToldAfterThePass(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	own, old := newKey(t), newKey(t)
	node := gatewayNode(func(n *corev1.Node) {
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.11"}}
	})
	published := func(key wireguard.PrivateKey) *v1alpha1.GatewayNode {
		return &v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: node.Name}, Spec: v1alpha1.GatewayNodeSpec{
			NodeName: node.Name, PublicKey: key.Public().String(), Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.11", Port: 51820}}}}
	}
	for _, tt := range []struct {
		name    string
		gateway *v1alpha1.GatewayNode
		atOnce  bool
	}{
		{"another key is published", published(old), false},
		{"the same key is published", published(own), true},
		{"none is published", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
			objects := []client.Object{node.DeepCopy(), set}
			if tt.gateway != nil {
				objects = append(objects, tt.gateway)
			}
			written := ""
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
				Apply: func(_ context.Context, _ client.WithWatch, o runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
					content, err := json.Marshal(o)
					written = string(content)
					return err
				},
				SubResourceApply: func(context.Context, client.Client, string, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
					return nil
				},
			}).Build()
			a := New(Config{Client: c, Secrets: c, Key: &disk{content: keyfile.Content{Key: own}}, Kernel: (&memoryKernel{}).kernel(), NodeName: node.Name, Namespace: "ns"})
			told := func() bool { return strings.Contains(written, own.Public().String()) }
			if err := a.statusPass(t.Context()); err != nil || told() != tt.atOnce {
				t.Errorf("told at once: %t, want %t (%v)", told(), tt.atOnce, err)
			}
			_ = a.tunnelPass(t.Context(), time.Now()) // it lacks a lane, or more
			if err := a.statusPass(t.Context()); err != nil || !told() {
				t.Errorf("told after the pass: %t (%v)", told(), err)
			}
		})
	}
}
