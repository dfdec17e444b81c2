package gather

import (
	"encoding/base64"
	"strings"
	"testing"
)

const (
	publicKey  = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="
	privateKey = "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="
	token      = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
	pem        = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn\n-----END RSA PRIVATE KEY-----\n"
)

func TestMask(t *testing.T) {
	m := masker{public: map[string]bool{publicKey: true}}
	base64Of := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, tt := range map[string]struct{ in, secret string }{
		"token":              {"asking with " + token + " failed", token},
		"token in base64":    {"data: " + base64Of(token), base64Of(token)},
		"header":             {"Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"},
		"basic":              {`"authorization": "Basic dXNlcjpwYXNzd29yZA=="`, "dXNlcjpwYXNzd29yZA"},
		"invitation":         {"kubectl tombolo join tombolo-join.eyJjbHVzdGVy-_x", "eyJjbHVzdGVy-_x"},
		"PEM":                {pem, "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn"},
		"PEM in JSON":        {strings.ReplaceAll(pem, "\n", `\n`), "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn"},
		"PEM in base64":      {base64Of(pem), base64Of(pem)},
		"private key":        {"key " + privateKey + ".", privateKey},
		"private key twice":  {base64Of(privateKey), base64Of(privateKey)},
		"proxy":              {"HTTPS_PROXY=http://me:geheim@proxy:3128", "geheim"},
		"password":           {"password: geheim1", "geheim1"},
		"password in JSON":   {`{"password":"geheim1"}`, "geheim1"},
		"flag":               {"--hub-token=abcdefghijklmnop", "abcdefghijklmnop"},
		"field":              {`"clientSecret": "abcdefghijklmnop"`, "abcdefghijklmnop"},
		"plugin of CoreDNS":  {"    azure {\n      client_secret geheim\n    }", "geheim"},
		"an environment":     {"name: AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"},
		"UAPI of WireGuard":  {"private_key=" + strings.Repeat("ab", 32), strings.Repeat("ab", 32)},
		"a name and a value": {"- name: API_TOKEN\n  value: abcdefghijklmnop1", "abcdefghijklmnop1"},
	} {
		if got := string(m.mask([]byte(tt.in))); strings.Contains(got, tt.secret) || !strings.Contains(got, masked) {
			t.Errorf("%s: %q became %q", name, tt.in, got)
		}
	}
}

// TestMaskKeeps: what one needs to read is not masked.
func TestMaskKeeps(t *testing.T) {
	m := masker{public: map[string]bool{publicKey: true}}
	for _, in := range []string{
		"publicKey: " + publicKey,
		"tombolo_operator_hub_token_expiry_timestamp_seconds 1.798e+09",
		"reading Secret tombolo-system/tombolo-hub: forbidden",
		"automountServiceAccountToken: true",
		"secretRef: {name: tombolo-hub}",
		"the token ends in 59m: renewed",
		"image: ghcr.io/tombolo-net/tombolo:v1.2.3@sha256:" + strings.Repeat("0a", 32),
		"name: east.0123456789abcdef.0",
		"https://hub.example.com:6443/api",
		"-----BEGIN CERTIFICATE-----",
	} {
		if got := string(m.mask([]byte(in))); got != in {
			t.Errorf("%q became %q", in, got)
		}
	}
}
