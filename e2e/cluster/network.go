package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// join makes a network namespace for each site and a bridge between them in this one.
func join(ctx context.Context, sites []*Site) error {
	steps := []string{
		"ip link add sites type bridge",
		"ip addr add " + gateway + "/24 dev sites",
		"ip link set sites up",
		"sysctl -qw net.ipv4.ip_forward=1",
	}
	for _, s := range sites {
		inside := "nsenter --net=" + namespace + s.Name + " "
		steps = append(
			steps,
			"ip netns add "+s.Name,
			fmt.Sprintf("ip link add %s type veth peer name eth0 netns %s", s.Name, s.Name),
			"ip link set "+s.Name+" master sites up",
			inside+"ip link set lo up",
			inside+"ip addr add "+s.Node.String()+"/24 dev eth0",
			inside+"ip link set eth0 up",
			inside+"ip route add default via "+gateway,
			inside+"sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0",
			"ip route add "+s.pods.String()+" via "+s.Node.String(),
			"ip route add "+s.services.String()+" via "+s.Node.String(),
		)
		for _, peer := range sites {
			if peer != s {
				steps = append(steps, inside+"ip route add "+peer.pods.String()+" via "+peer.Node.String())
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
