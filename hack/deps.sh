#!/usr/bin/env bash
# Makes sure that the Debian packages are there that tombolo's lab, tests and
# builds need. As root it installs what is missing; else it says in one
# sentence what is missing and how to install it, and fails.
#
# usage: hack/deps.sh [--list] [run|build|kind|web]...     (default: run and build)
set -euo pipefail

# run: what the lab, the tests and the demo run. The nodes of the lab see the
# host's files, so kube-proxy's and tombolo's own tools are among them.
run=(
	bind9-dnsutils   # dig
	bird2            # BGP between the lab's nodes, as Calico has it
	busybox-static   # the user-mode kernels' first steps; pods of the tests
	ca-certificates
	conntrack        # asserts on connection tracking
	curl
	ethtool          # offloads of virtual devices
	iperf3           # make bench
	iproute2         # ip, tc, ss
	ipset            # kube-proxy in ipvs mode
	iptables         # kube-proxy
	ipvsadm          # asserts on IPVS
	kmod             # modprobe, called by kube-proxy
	make
	netcat-openbsd   # nc
	nftables         # nft, which tombolo itself runs
	procps           # sysctl, ps
	socat
	tcpdump          # reads captures of the underlay
	wireguard-tools  # wg
	xz-utils         # unpacks ready-made copies of test binaries
)

# build: what hack/testbin needs to build from source.
build=(
	bc
	bison
	flex
	gcc
	libc6-dev
	libelf-dev
	libseccomp-dev   # runc
	libssl-dev
	make
	pkg-config       # runc
	xz-utils
)

# kind: clusters of kind. Who has another Docker keeps it.
kind=()
command -v dockerd >/dev/null || [[ -S /var/run/docker.sock ]] || kind+=(docker.io)

# web: a browser for the tests of kubectl tombolo web, and npm, which fetches axe-core. Who has another
# npm keeps it.
web=(chromium fonts-dejavu-core)
command -v npm >/dev/null || web+=(npm)

# want prints the packages of the groups named, one a line.
want() {
	local group
	for group in "$@"; do
		case $group in
		run) printf '%s\n' "${run[@]}" ;;
		build) printf '%s\n' "${build[@]}" ;;
		kind) ((${#kind[@]} == 0)) || printf '%s\n' "${kind[@]}" ;;
		web) printf '%s\n' "${web[@]}" ;;
		*)
			echo "deps.sh: no group is called \"$group\"; there are run, build, kind and web" >&2
			return 2
			;;
		esac
	done
}

# missing prints those of the packages given that are not installed.
missing() {
	local name status pkg
	local -A have=()
	# It fails if one of them is unknown, which is an answer, not an error.
	while read -r status name; do
		[[ $status == ii ]] && have[${name%%:*}]=1
	done < <(dpkg-query --show --showformat='${db:Status-Abbrev} ${binary:Package}\n' "$@" 2>/dev/null)
	for pkg in "$@"; do
		[[ -n ${have[$pkg]-} ]] || echo "$pkg"
	done
}

# daemons are services that packages would start, now and at each boot, though
# nothing here wants them on the machine itself.
daemons=(bird)

# keep_down has systemd not start a service that is not there yet; who wants it
# says systemctl unmask.
keep_down() {
	local unit=/etc/systemd/system/$1.service
	[[ -d /etc/systemd/system ]] || return 0
	[[ -e /lib/systemd/system/$1.service || -e $unit || -L $unit ]] || ln -s /dev/null "$unit"
}

# install installs packages, as root. Without --no-install-recommends apt
# would bring in a distribution kernel.
install() {
	export DEBIAN_FRONTEND=noninteractive
	local name
	for name in "${daemons[@]}"; do
		keep_down "$name"
	done
	echo "deps.sh: installing $* (usually under a minute)" >&2
	apt-get -o DPkg::Lock::Timeout=300 -qq update
	apt-get -o DPkg::Lock::Timeout=300 -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" >&2
}

main() {
	local list=false all lacking
	if [[ ${1-} == --list ]]; then
		list=true
		shift
	fi
	(($# > 0)) || set -- run build
	all=$(want "$@") || exit 2
	mapfile -t all < <(sort -u <<<"$all" | sed '/^$/d')
	((${#all[@]} > 0)) || return 0
	if $list; then
		printf '%s\n' "${all[@]}"
		return
	fi
	if ! command -v dpkg-query >/dev/null; then
		echo "deps.sh: this system is not Debian; install the contents of these packages yourself: ${all[*]}" >&2
		return
	fi
	mapfile -t lacking < <(missing "${all[@]}")
	((${#lacking[@]} > 0)) || return 0
	if ((EUID == 0)); then
		install "${lacking[@]}"
		return
	fi
	echo "deps.sh: missing Debian packages: ${lacking[*]}; install them with: sudo apt-get install -y --no-install-recommends ${lacking[*]}" >&2
	return 1
}

main "$@"
