package image

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// recipe says what an image is made of. Everything in it counts for the key of the image's archive.
type recipe struct {
	Ref    string
	Layers []layerRecipe
	Config v1.Config
}

// layerRecipe says what a layer holds. Paths are absolute and those of a merged /usr.
type layerRecipe struct {
	// Packages are the Debian packages that Programs and Trees come from, with what these depend
	// on.
	Packages []string
	// Programs are names, found in the packages' bin folders, that are taken with the libraries
	// they need.
	Programs []string
	// Applets makes a link for each of busybox's programs.
	Applets bool
	// Trees are folders or files that are taken from the packages whole.
	Trees []string
	// Files are made here: content, folder or link.
	Files []file
	// Binary, if set, is a static program on the host that becomes To.
	Binary, To string
	// Source, if set, is a Go program that is built and becomes To.
	Source string
}

// file is one made file. Without Content and Link it is a folder.
type file struct {
	Path    string
	Mode    int64
	Content string
	Link    string
}

//go:embed pause/main.go
var pauseSource string

//go:embed echo/main.go
var echoSource string

//go:embed agnhost/main.go
var agnhostSource string

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// nobody is the user of images whose program needs no rights: the number that is customary for it.
const nobody = "65532:65532"

// recipes returns the recipes of all images that need no binary.
func recipes() []recipe {
	return []recipe{
		busyboxRecipe(),
		nginxRecipe(),
		netshootRecipe(),
		socatRecipe(),
		agnhostRecipe(),
		{Ref: Pause, Layers: []layerRecipe{{Source: pauseSource, To: "/pause"}}, Config: v1.Config{Entrypoint: []string{"/pause"}, Env: []string{searchPath}, User: nobody}},
		{Ref: Echo, Layers: []layerRecipe{{Source: echoSource, To: "/echo"}}, Config: v1.Config{Entrypoint: []string{"/echo"}, Env: []string{searchPath}, User: nobody}},
	}
}

// recipeOf returns the recipe of ref, or ErrUnknown. Whatever tag ref has: test suites of others
// name tags of their own, and change them.
func recipeOf(ref string) (recipe, error) {
	all := recipes()
	i := slices.IndexFunc(all, func(r recipe) bool { return Repository(r.Ref) == Repository(ref) })
	if i < 0 {
		return recipe{}, fmt.Errorf("image %q: %w", ref, ErrUnknown)
	}
	return all[i], nil
}

// Repository returns an image's name without its tag. The name has no registry with a port in
// front.
func Repository(ref string) string {
	repository, _, _ := strings.Cut(ref, ":")
	return repository
}

// base is the lowest layer of all images with a shell: C library, busybox, users.
func base() layerRecipe {
	return layerRecipe{
		Packages: []string{"busybox"},
		Programs: []string{"busybox"},
		Applets:  true,
		Files: append(rootFiles(),
			file{Path: "/etc/passwd", Mode: 0o644, Content: passwd},
			file{Path: "/etc/group", Mode: 0o644, Content: group},
		),
	}
}

// rootFiles are what every image has that holds Debian's programs.
func rootFiles() []file {
	return []file{
		{Path: "/bin", Link: "usr/bin"}, {Path: "/sbin", Link: "usr/sbin"},
		{Path: "/lib", Link: "usr/lib"}, {Path: "/lib64", Link: "usr/lib64"},
		{Path: "/tmp", Mode: 0o1777}, {Path: "/var/tmp", Mode: 0o1777},
		{Path: "/root", Mode: 0o700}, {Path: "/run", Mode: 0o755}, {Path: "/var/run", Link: "/run"},
		{Path: "/proc", Mode: 0o555}, {Path: "/sys", Mode: 0o555}, {Path: "/dev", Mode: 0o755},
		{Path: "/etc/nsswitch.conf", Mode: 0o644, Content: "passwd: files\ngroup: files\nhosts: files dns\n"},
	}
}

const (
	passwd = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
tcpdump:x:100:100:tcpdump:/:/bin/false
nobody:x:65534:65534:nobody:/:/bin/false
nonroot:x:65532:65532:nonroot:/:/bin/false
`
	group = `root:x:0:
www-data:x:33:
tcpdump:x:100:
nogroup:x:65534:
nonroot:x:65532:
`
)

func busyboxRecipe() recipe {
	return recipe{Ref: "busybox", Layers: []layerRecipe{base()}, Config: v1.Config{Cmd: []string{"sh"}, Env: []string{searchPath}}}
}

func nginxRecipe() recipe {
	return recipe{
		Ref: "nginx",
		Layers: []layerRecipe{base(), {
			Packages: []string{"nginx"},
			Programs: []string{"nginx"},
			Trees:    []string{"/etc/nginx/mime.types"},
			Files: []file{
				{Path: "/etc/nginx/nginx.conf", Mode: 0o644, Content: nginxConf},
				{Path: "/usr/share/nginx/html/index.html", Mode: 0o644, Content: "<!DOCTYPE html>\n<title>nginx</title>\n<p>nginx is here.</p>\n"},
				{Path: "/var/log/nginx", Mode: 0o755},
				{Path: "/var/lib/nginx", Mode: 0o755},
				{Path: "/usr/share/nginx/modules", Mode: 0o755},
			},
		}},
		Config: v1.Config{
			Cmd: []string{"nginx", "-g", "daemon off;"}, Env: []string{searchPath}, StopSignal: "SIGQUIT",
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
		},
	}
}

const nginxConf = `user www-data;
worker_processes 1;
error_log stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
	include mime.types;
	default_type application/octet-stream;
	access_log /dev/stdout combined;
	server {
		listen 80;
		listen [::]:80;
		root /usr/share/nginx/html;
	}
}
`

func netshootRecipe() recipe {
	return recipe{
		Ref: Tools,
		Layers: []layerRecipe{base(), {
			Packages: []string{
				"bash", "curl", "bind9-dnsutils", "bind9-host", "iproute2", "iperf3", "tcpdump", "netcat-openbsd", "socat",
				"iputils-ping", "jq", "conntrack", "ipvsadm", "nftables", "wireguard-tools",
			},
			Programs: []string{
				"bash", "curl", "dig", "nslookup", "host", "ip", "ss", "bridge", "iperf3", "tcpdump", "nc.openbsd", "socat",
				"ping", "jq", "conntrack", "ipvsadm", "nft", "wg",
			},
			Files: []file{
				{Path: "/usr/bin/nc", Link: "nc.openbsd"},
				{Path: "/usr/bin/ping4", Link: "ping"},
				{Path: "/usr/bin/ping6", Link: "ping"},
				{Path: "/usr/sbin/ip", Link: "../bin/ip"},
			},
		}},
		Config: v1.Config{Cmd: []string{"bash"}, Env: []string{searchPath}, WorkingDir: "/root"},
	}
}

func socatRecipe() recipe {
	return recipe{
		Ref:    "alpine/socat:1.7.4.4",
		Layers: []layerRecipe{base(), {Packages: []string{"socat"}, Programs: []string{"socat"}}},
		Config: v1.Config{Entrypoint: []string{"socat"}, Env: []string{searchPath}},
	}
}

// agnhostRecipe has the real image's entrypoint and command, on which it depends what the arguments
// of a pod mean.
func agnhostRecipe() recipe {
	return recipe{
		Ref: Agnhost,
		Layers: []layerRecipe{
			base(),
			{Packages: []string{"curl"}, Programs: []string{"curl"}},
			{Source: agnhostSource, To: "/agnhost"},
		},
		Config: v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}, Env: []string{searchPath}},
	}
}

// tomboloRecipe has nft, the libraries that it needs, and the binary. There is no shell.
func tomboloRecipe(binary string) recipe {
	return recipe{
		Ref: TomboloRef,
		Layers: []layerRecipe{
			{Packages: []string{"nftables"}, Programs: []string{"nft"}, Files: append(rootFiles(),
				file{Path: "/etc/passwd", Mode: 0o644, Content: "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"},
				file{Path: "/etc/group", Mode: 0o644, Content: "root:x:0:\nnonroot:x:65532:\n"},
			)},
			{Binary: binary, To: "/tombolo"},
		},
		Config: v1.Config{Entrypoint: []string{"/tombolo"}, Env: []string{searchPath}, User: nobody},
	}
}

func staticRecipe(ref, binary, to string) recipe {
	return recipe{
		Ref:    ref,
		Layers: []layerRecipe{{Binary: binary, To: to, Files: []file{{Path: "/tmp", Mode: 0o1777}}}},
		Config: v1.Config{Entrypoint: []string{to}, Env: []string{searchPath}},
	}
}

// kubeProxyRecipe has the nft kind of iptables only: a node needs no other.
func kubeProxyRecipe(ref, binary string) recipe {
	const to = "/usr/local/bin/kube-proxy"
	tools := layerRecipe{
		Packages: []string{"iptables", "nftables", "conntrack"},
		Programs: []string{"xtables-nft-multi", "nft", "conntrack"},
		Trees:    []string{"/usr/lib/x86_64-linux-gnu/xtables"},
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, name := range []string{family, family + "-save", family + "-restore"} {
			tools.Files = append(tools.Files, file{Path: "/usr/sbin/" + name, Link: "xtables-nft-multi"})
		}
	}
	return recipe{
		Ref:    ref,
		Layers: []layerRecipe{base(), tools, {Binary: binary, To: to}},
		Config: v1.Config{Entrypoint: []string{to}, Env: []string{searchPath}},
	}
}

func corednsRecipe(binary string) recipe {
	return recipe{
		Ref:    CoreDNSRef,
		Layers: []layerRecipe{{Binary: binary, To: "/coredns"}},
		Config: v1.Config{
			Entrypoint: []string{"/coredns"}, Env: []string{searchPath},
			ExposedPorts: map[string]struct{}{"53/tcp": {}, "53/udp": {}},
		},
	}
}
