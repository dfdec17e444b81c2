package install

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/install"
)

// hubAccess makes the account of a Member on the hub, and returns the content, in base64, of the
// Secret with which its cluster joins.
func (i *installation) hubAccess(ctx context.Context, name string) (map[string]string, error) {
	config, err := i.restConfig(i.Hub)
	if err != nil {
		return nil, err
	}
	hub, err := client.New(config, client.Options{Scheme: operator.NewScheme()})
	if err != nil {
		return nil, fmt.Errorf("preparing client of the hub: %w", err)
	}
	join, err := i.account(ctx, hub, name)
	if err != nil {
		return nil, err
	}
	token := install.JoinToken(join)
	account := clusterset.MemberServiceAccount(v1alpha1.ClusterID(name))
	if err := hub.SubResource("token").Create(ctx, &corev1.ServiceAccount{ObjectMeta: onHub(account)}, token); err != nil {
		return nil, fmt.Errorf("getting a join token of %s: %w", account, err)
	}
	ca := &corev1.ConfigMap{ObjectMeta: onHub("kube-root-ca.crt")}
	if err := poll(ctx, func(ctx context.Context) error { return hub.Get(ctx, client.ObjectKeyFromObject(ca), ca) }); err != nil {
		return nil, fmt.Errorf("waiting for ConfigMap %s on the hub: %w", ca.Name, err)
	}
	access := map[string]string{}
	for key, value := range map[string]string{"token": token.Status.Token, "ca.crt": ca.Data["ca.crt"], "namespace": hubNamespace} {
		access[key] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	return access, nil
}

// account makes the objects by which the Member's cluster uses the hub, and returns the Secret that
// a join token is bound to.
func (i *installation) account(ctx context.Context, hub client.Client, name string) (*corev1.Secret, error) {
	member := &v1alpha1.Member{}
	if err := hub.Get(ctx, client.ObjectKey{Namespace: hubNamespace, Name: name}, member); err != nil {
		return nil, fmt.Errorf("reading Member %s: %w", name, err)
	}
	var manifest strings.Builder
	for _, object := range install.MemberAccount(member) {
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("writing %s as YAML: %w", object.GetName(), err)
		}
		manifest.WriteString("---\n")
		manifest.Write(text)
	}
	if err := i.kubectl(ctx, i.Hub, manifest.String(), "apply", "-f", "-"); err != nil {
		return nil, err
	}
	join := &corev1.Secret{ObjectMeta: onHub(clusterset.JoinSecretName(v1alpha1.ClusterID(name)))}
	if err := hub.Get(ctx, client.ObjectKeyFromObject(join), join); err != nil {
		return nil, fmt.Errorf("reading the Secret of the join token: %w", err)
	}
	return join, nil
}

func onHub(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: hubNamespace, Name: name}
}
