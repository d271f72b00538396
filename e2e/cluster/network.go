package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// join makes a network namespace for each node and a bridge between them in this one.
func join(ctx context.Context, sites []*Site) error {
	steps := []string{
		"ip link add sites type bridge",
		"ip addr add " + gateway + bits + " dev sites",
		"ip link set sites up",
		"sysctl -qw net.ipv4.ip_forward=1",
	}
	var nodes []*Node
	for _, s := range sites {
		nodes = append(nodes, s.Nodes...)
		steps = append(steps, "ip route add "+s.services.String()+" via "+s.address().String())
	}
	for _, n := range nodes {
		inside := "nsenter --net=" + namespace + n.Network + " "
		steps = append(
			steps,
			"ip netns add "+n.Network,
			fmt.Sprintf("ip link add %s type veth peer name eth0 netns %s", n.Network, n.Network),
			"ip link set "+n.Network+" master sites up",
			inside+"ip link set lo up",
			inside+"ip addr add "+n.Address.String()+bits+" dev eth0",
			inside+"ip link set eth0 up",
			inside+"ip route add default via "+gateway,
			inside+"sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0",
			"ip route add "+n.pods.String()+" via "+n.Address.String(),
		)
		for _, other := range nodes {
			if other != n {
				steps = append(steps, inside+"ip route add "+other.pods.String()+" via "+other.Address.String())
			}
		}
	}
	for _, step := range steps {
		words := strings.Fields(step)
		if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", step, err, out)
		}
	}
	return nil
}

// Host gives the sandbox's own network another address, for something that is no site's: pods of all sites reach it. The number is from 1 to 200.
func (c *Clusters) Host(ctx context.Context, number byte) (netip.Addr, error) {
	addr := netip.AddrFrom4([4]byte{10, 201, 0, 10 + number})
	if out, err := exec.CommandContext(ctx, "ip", "addr", "add", addr.String()+bits, "dev", "sites").CombinedOutput(); err != nil {
		return addr, fmt.Errorf("address %s: %w: %s", addr, err, out)
	}
	return addr, nil
}
