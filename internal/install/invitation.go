package install

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// invitationPrefix begins every invitation, so that people and tools know one when they see it.
const invitationPrefix = "tombolo-join."

// Invitation is what a cluster needs to join: where the hub is, and a token that ends soon. It is a
// secret.
type Invitation struct {
	ClusterSetID string             `json:"clusterSetID"`
	ClusterID    v1alpha1.ClusterID `json:"clusterID"`
	// Server is the URL of the hub's API server, as the member reaches it.
	Server string `json:"server"`
	// Namespace is the hub's.
	Namespace string `json:"namespace"`
	// CA is the certificate of the hub's API server, in PEM.
	CA string `json:"ca"`
	// Token is the join token of the member's ServiceAccount.
	Token string `json:"token"`
}

// Encode returns the invitation as one word, for a command line.
func (i Invitation) Encode() (string, error) {
	text, err := json.Marshal(i)
	if err != nil {
		return "", fmt.Errorf("writing an invitation: %w", err)
	}
	return invitationPrefix + base64.RawURLEncoding.EncodeToString(text), nil
}

// DecodeInvitation reads what Encode wrote. The error does not hold the text, which may be a secret.
func DecodeInvitation(word string) (Invitation, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(word), invitationPrefix)
	if !ok {
		return Invitation{}, fmt.Errorf("a join token begins with %q: kubectl tombolo member add prints one", invitationPrefix)
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return Invitation{}, errors.New("the join token is damaged: copy the whole word that kubectl tombolo member add printed")
	}
	var i Invitation
	if err := json.Unmarshal(text, &i); err != nil {
		return Invitation{}, errors.New("the join token is damaged: copy the whole word that kubectl tombolo member add printed")
	}
	if i.ClusterSetID == "" || i.ClusterID == "" || i.Server == "" || i.Namespace == "" || i.Token == "" {
		return Invitation{}, errors.New("the join token lacks a part: make another one with kubectl tombolo member add")
	}
	return i, nil
}

// HubSecret is the Secret with the access to the hub, for the namespace that tombolo runs in.
func (i Invitation) HubSecret(namespace string) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.HubSecret},
		Data: map[string][]byte{
			corev1.ServiceAccountTokenKey:     []byte(i.Token),
			corev1.ServiceAccountRootCAKey:    []byte(i.CA),
			corev1.ServiceAccountNamespaceKey: []byte(i.Namespace),
		},
	}
}

// ClusterSet is the object that makes the cluster join. Its other fields have their defaults.
func (i Invitation) ClusterSet(dns v1alpha1.DNSMode) *v1alpha1.ClusterSet {
	return &v1alpha1.ClusterSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ClusterSet"},
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{
			ClusterSetID: i.ClusterSetID, ClusterID: i.ClusterID, DNS: dns,
			Hub: v1alpha1.HubAccess{Server: i.Server, SecretRef: v1alpha1.SecretReference{Name: v1alpha1.HubSecret}},
		},
	}
}
