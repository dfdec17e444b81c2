package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/echo"
)

// answered returns nil if every address of the name answered every time.
func answered(r echo.Reply) error {
	if r.Error != "" {
		return errors.New(r.Error)
	}
	failed := map[string]string{}
	for _, h := range r.Heard {
		if h.Error != "" {
			failed[h.Address] = h.Error
		}
	}
	if len(r.Heard) == 0 {
		return errors.New("nothing was asked")
	}
	var all []string
	for _, address := range r.Addresses {
		if why := failed[address]; why != "" {
			all = append(all, fmt.Sprintf("%s: %s", address, why))
		}
	}
	if len(all) > 0 {
		return errors.New(strings.Join(all, "; "))
	}
	return nil
}

// servedBy returns nil if everything was answered, by these pods.
func servedBy(r echo.Reply, pods []corev1.Pod) error {
	if err := answered(r); err != nil {
		return err
	}
	for _, h := range r.Heard {
		if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Name == h.Answer.Pod }) {
			return fmt.Errorf("%s was answered by pod %q, which is none of the Service", h.Address, h.Answer.Pod)
		}
	}
	return nil
}

// isHeadless returns nil if the name resolves to the pods' addresses, and each pod answers at its
// own.
func isHeadless(r echo.Reply, pods []corev1.Pod) error {
	if err := answered(r); err != nil {
		return err
	}
	owners, families := map[string]string{}, map[bool]int{}
	for _, p := range pods {
		for _, ip := range p.Status.PodIPs {
			owners[ip.IP] = p.Name
		}
	}
	for _, h := range r.Heard {
		if owners[h.Address] != h.Answer.Pod {
			return fmt.Errorf("address %s of pod %q was answered by pod %q", h.Address, owners[h.Address], h.Answer.Pod)
		}
	}
	for _, address := range r.Addresses {
		families[strings.Contains(address, ":")]++
	}
	for v6, found := range families {
		if found != len(pods) {
			return fmt.Errorf("the name has %d %s addresses, for %d pods: %s", found, familyName(v6), len(pods), strings.Join(r.Addresses, ", "))
		}
	}
	return nil
}

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// keepsAffinity returns nil if each address was answered by one pod each time.
func keepsAffinity(r echo.Reply) error {
	if err := answered(r); err != nil {
		return err
	}
	first := map[string]string{}
	for _, h := range r.Heard {
		if pod := first[h.Address]; pod != "" && pod != h.Answer.Pod {
			return fmt.Errorf("%s was answered by pod %s and by pod %s, in spite of sessionAffinity ClientIP", h.Address, pod, h.Answer.Pod)
		}
		first[h.Address] = h.Answer.Pod
	}
	return nil
}

// keepsSources returns nil if the servers saw the client pod's own addresses.
func keepsSources(r echo.Reply, client *corev1.Pod) error {
	if err := answered(r); err != nil {
		return err
	}
	var own []string
	for _, ip := range client.Status.PodIPs {
		own = append(own, ip.IP)
	}
	var others []string
	for _, h := range r.Heard {
		if !slices.Contains(own, h.Answer.Client) && !slices.Contains(others, h.Answer.Client) {
			others = append(others, h.Answer.Client)
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("the servers see %s instead of the client pod's %s: something on the way translates sources", clusterset.NameSome(others), strings.Join(own, ", "))
	}
	return nil
}
