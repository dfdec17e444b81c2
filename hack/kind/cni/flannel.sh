#!/bin/sh
# Connects the pods of a cluster of kind with flannel: make e2e-kind KINDFLAGS="-cni hack/kind/cni/flannel.sh"
# The cluster east has its backend host-gw and its rules in nftables, any other one VXLAN and iptables. The
# environment is that of `go run ./hack/kind -h`.
set -eu
case $CLUSTER in
east) backend=host-gw nftables=true ;;
*) backend=vxlan nftables=false ;;
esac
go run ./hack/testbin/cmd -set flannel
bin=$(go run ./hack/testbin/cmd -set flannel -dir)

ipv4=false ipv6=false
networks=
routes=
for cidr in $POD_CIDRS; do
	routes="$routes${routes:+,}{\"dst\": \"$cidr\"}"
	case $cidr in
	*:*) ipv6=true networks="$networks \"IPv6Network\": \"$cidr\"," ;;
	*) ipv4=true networks="$networks \"Network\": \"$cidr\"," ;;
	esac
done

# write NODE FILE writes the standard input to a file of a node.
write() { docker exec --interactive "$1" sh -c "mkdir -p $(dirname "$2") && cat >$2"; }

for node in $NODES; do
	docker cp --quiet "$bin/flanneld" "$node:/usr/local/bin/flanneld"
	docker cp --quiet "$bin/cni-bridge" "$node:/opt/cni/bin/bridge"
	kind get kubeconfig --internal --name "$CLUSTER" | write "$node" /etc/kube-flannel/kubeconfig
	write "$node" /etc/kube-flannel/net-conf.json <<-END
		{$networks "EnableIPv4": $ipv4, "EnableIPv6": $ipv6, "EnableNFTables": $nftables, "Backend": {"Type": "$backend"}}
	END
	docker exec "$node" systemd-run --quiet --unit=flannel --property=Restart=always --property=RestartSec=1 \
		--setenv=NODE_NAME="$node" flanneld --kubeconfig-file=/etc/kube-flannel/kubeconfig
done

# What flannel's own CNI plugin, whose module is not to be had from module proxies, asks of the plugin bridge.
for node in $NODES; do
	docker exec "$node" timeout 60 sh -c 'until [ -s /run/flannel/subnet.env ]; do sleep 0.2; done' || {
		docker exec "$node" journalctl --unit=flannel --lines=20 >&2
		exit 1
	}
	mtu=$(docker exec "$node" sed -n s/FLANNEL_MTU=//p /run/flannel/subnet.env)
	ranges=
	for cidr in $(kubectl --context "$CLUSTER" get node "$node" --output 'jsonpath={.spec.podCIDRs[*]}'); do
		ranges="$ranges${ranges:+,}[{\"subnet\": \"$cidr\"}]"
	done
	write "$node" /etc/cni/net.d/10-flannel.conflist <<-END
		{"cniVersion": "1.0.0", "name": "cbr0", "plugins": [
			{"type": "bridge", "bridge": "cni0", "mtu": $mtu, "isGateway": true, "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
				"ipam": {"type": "host-local", "ranges": [$ranges], "routes": [$routes]}},
			{"type": "portmap", "capabilities": {"portMappings": true}}]}
	END
done
