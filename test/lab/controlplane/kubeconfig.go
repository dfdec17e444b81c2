package controlplane

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// access is one identity in one cluster.
type access struct {
	context string // the name of context, cluster and user
	server  string // URL
	ca      []byte // PEM
	pair    KeyPair
}

// kubeconfig returns a file with a context for each access, the first the current one.
func kubeconfig(all ...access) ([]byte, error) {
	config := clientcmdapi.NewConfig()
	for _, a := range all {
		config.Clusters[a.context] = &clientcmdapi.Cluster{Server: a.server, CertificateAuthorityData: a.ca}
		config.AuthInfos[a.context] = &clientcmdapi.AuthInfo{ClientCertificateData: a.pair.Cert, ClientKeyData: a.pair.Key}
		config.Contexts[a.context] = &clientcmdapi.Context{Cluster: a.context, AuthInfo: a.context}
	}
	if len(all) > 0 {
		config.CurrentContext = all[0].context
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encoding kubeconfig: %w", err)
	}
	return data, nil
}

func writeKubeconfig(path string, all ...access) error {
	data, err := kubeconfig(all...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing kubeconfig: %w", err)
	}
	return nil
}
