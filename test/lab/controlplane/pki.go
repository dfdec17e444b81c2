package controlplane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
)

// lifetime is how long a lab's certificates hold. Nothing renews them: a lab lives for hours.
const lifetime = 365 * 24 * time.Hour

// authority is a cluster's certificate authority. It signs what proves the identity of servers and
// of clients alike, as kubeadm's does.
type authority struct {
	cert *x509.Certificate
	pair KeyPair
	key  crypto.Signer
}

// KeyPair is a certificate and its private key, both PEM.
type KeyPair struct {
	Cert, Key []byte
}

// subject is whom a certificate is for.
type subject struct {
	name   string   // the common name: the user's name, for clients
	groups []string // the organizations: the user's groups
	hosts  []string // DNS names and IP addresses; none for what is a client only
}

func newAuthority(name string) (*authority, error) {
	template, err := template(subject{name: name})
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = nil
	key, pair, err := sign(template, template, nil)
	if err != nil {
		return nil, fmt.Errorf("making certificate authority %s: %w", name, err)
	}
	return &authority{cert: template, pair: pair, key: key}, nil
}

// issue returns a new key with a certificate for s.
func (a *authority) issue(s subject) (KeyPair, error) {
	template, err := template(s)
	if err != nil {
		return KeyPair{}, err
	}
	_, pair, err := sign(template, a.cert, a.key)
	if err != nil {
		return KeyPair{}, fmt.Errorf("issuing certificate for %s: %w", s.name, err)
	}
	return pair, nil
}

// sign makes a key and has the certificate for it signed, by itself when signer is nil.
func sign(template, parent *x509.Certificate, signer crypto.Signer) (crypto.Signer, KeyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, KeyPair{}, fmt.Errorf("generating key: %w", err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, KeyPair{}, fmt.Errorf("signing: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, KeyPair{}, err
	}
	return key, KeyPair{Cert: encodePEM("CERTIFICATE", der), Key: keyPEM}, nil
}

func template(s subject) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choosing serial number: %w", err)
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.name, Organization: s.groups},
		NotBefore:    now.Add(-time.Minute), // a node's clock may be a little behind
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(s.hosts) > 0 {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range s.hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			t.IPAddresses = append(t.IPAddresses, net.IP(addr.AsSlice()))
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	return t, nil
}

// newTokenKey returns the pair with which a cluster signs ServiceAccount tokens: private and public
// key, PEM.
func newTokenKey() (private, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generating key for tokens: %w", err)
	}
	private, err = encodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("encoding public key for tokens: %w", err)
	}
	return private, encodePEM("PUBLIC KEY", der), nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding key: %w", err)
	}
	return encodePEM("EC PRIVATE KEY", der), nil
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
