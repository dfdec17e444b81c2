#!/bin/sh
# Connects the pods of a cluster of kind with Calico, built from a clone of github.com/projectcalico/calico:
# CALICO=the-clone make e2e-kind KINDFLAGS="-cni hack/kind/cni/calico.sh"
# Calico chooses the pods' addresses, in blocks that are no podCIDRs of nodes. The cluster east leads to them
# by BGP, with Debian's BIRD, and has its rules in iptables; any other one has VXLAN and nftables. The
# environment is that of `go run ./hack/kind -h`.
set -eu
if ! [ -d "${CALICO:-}/felix" ]; then
	echo "CALICO=${CALICO:-} is no clone of Calico: git clone --branch v3.32.1 https://github.com/projectcalico/calico, then set CALICO to it" >&2
	exit 2
fi
case $POD_CIDRS in
*.*) ;;
*)
	echo "cluster $CLUSTER has IPv6 alone, for which this script was not written: choose ipv4 or dual with -ip-family" >&2
	exit 2
	;;
esac
case $CLUSTER in
east) backend=bird vxlan=Never nftables=Disabled ;;
*) backend=vxlan vxlan=Always nftables=Enabled ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# say WHAT COMMAND... runs a command whose output matters only if it fails.
say() {
	echo "calico: $CLUSTER: $1" >&2
	shift
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
}

say "building (10 minutes at first)" env CGO_ENABLED=0 GOFLAGS= go -C "$CALICO" build -trimpath -buildvcs=false \
	-gcflags=all=-dwarf=false -ldflags='-s -w' -o "$work/" ./node/cmd/calico-node ./cni-plugin/cmd/calico
if [ $backend = bird ]; then
	(cd "$work" && say "fetching BIRD" apt-get -o APT::Sandbox::User=root download bird && dpkg-deb --extract bird_*.deb .)
fi

pools=
ipv6=false
for cidr in $POD_CIDRS; do
	case $cidr in
	*:*) version=6 ipv6=true ;;
	*) version=4 ;;
	esac
	pools="$pools
CALICO_IPV${version}POOL_CIDR=$cidr
CALICO_IPV${version}POOL_VXLAN=$vxlan
CALICO_IPV${version}POOL_NAT_OUTGOING=true"
done

# write NODE FILE writes the standard input to a file of a node.
write() { docker exec --interactive "$1" sh -c "mkdir -p $(dirname "$2") && cat >$2"; }
# start NODE NAME COMMAND... runs a command as the service calico-NAME.
start() {
	node=$1 unit=calico-$2
	shift 2
	docker exec "$node" systemd-run --quiet --unit="$unit" --property=Restart=always --property=RestartSec=1 \
		--property=StartLimitIntervalSec=0 --property=EnvironmentFile=/etc/calico/environment "$@"
}

say "making its kinds" kubectl --context "$CLUSTER" create --filename "$CALICO/manifests/crds.yaml"
kubectl --context "$CLUSTER" wait --for=condition=Established --timeout=60s --filename "$CALICO/manifests/crds.yaml" >/dev/null
for node in $NODES; do
	docker cp --quiet "$work/calico-node" "$node:/usr/local/bin/calico-node"
	docker cp --quiet "$work/calico" "$node:/opt/cni/bin/calico"
	docker exec "$node" ln -sf calico /opt/cni/bin/calico-ipam
	kind get kubeconfig --internal --name "$CLUSTER" | write "$node" /etc/calico/kubeconfig
	# The last of Felix's variables: built without C, it panics when it looks for eBPF programs of an earlier Calico.
	write "$node" /etc/calico/environment <<-END
		DATASTORE_TYPE=kubernetes
		KUBECONFIG=/etc/calico/kubeconfig
		WAIT_FOR_DATASTORE=true
		NODENAME=$node
		IP=autodetect
		$(if $ipv6; then echo IP6=autodetect; fi)
		CALICO_NETWORKING_BACKEND=$backend
		CALICO_IPV4POOL_IPIP=Never
		CALICO_MANAGE_CNI=false
		FELIX_DATASTORETYPE=kubernetes
		FELIX_FELIXHOSTNAME=$node
		FELIX_IPV6SUPPORT=$ipv6
		FELIX_DEFAULTENDPOINTTOHOSTACTION=ACCEPT
		FELIX_NFTABLESMODE=$nftables
		FELIX_DebugSkipCTLBCleanup=true
		$pools
	END
	say "starting on $node" docker exec "$node" \
		sh -ec 'set -a; . /etc/calico/environment; calico-node -startup; calico-node -allocate-tunnel-addrs -allocate-tunnel-addrs-run-once'
	start "$node" node-services calico-node -node-services
	start "$node" felix calico-node -felix
	if [ $backend = bird ]; then
		docker cp --quiet "$CALICO/confd/etc/calico/confd" "$node:/etc/calico/"
		docker cp --quiet "$work/usr/sbin/bird" "$node:/usr/local/bin/bird"
		docker cp --quiet "$work/usr/sbin/bird6" "$node:/usr/local/bin/bird6"
		# Calico's own image supervises BIRD with runit: confd reloads it by "sv hup".
		printf '#!/bin/sh\nexec systemctl kill --signal=HUP "calico-$2"\n' | write "$node" /usr/local/bin/sv
		docker exec "$node" sh -c 'chmod +x /usr/local/bin/sv; mkdir -p /var/run/calico'
		start "$node" confd calico-node -confd
		start "$node" bird bird -R -s /var/run/calico/bird.ctl -d -c /etc/calico/confd/config/bird.cfg
		start "$node" bird6 bird6 -R -s /var/run/calico/bird6.ctl -d -c /etc/calico/confd/config/bird6.cfg
	fi
	write "$node" /etc/cni/net.d/10-calico.conflist <<-END
		{"cniVersion": "0.3.1", "name": "k8s-pod-network", "plugins": [
			{"type": "calico", "datastore_type": "kubernetes", "nodename": "$node", "mtu": 0, "policy": {"type": "k8s"},
				"kubernetes": {"kubeconfig": "/etc/calico/kubeconfig"},
				"ipam": {"type": "calico-ipam", "assign_ipv4": "true", "assign_ipv6": "$ipv6"}},
			{"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}]}
	END
done
