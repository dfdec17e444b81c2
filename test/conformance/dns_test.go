//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// question is one that DNS is asked.
type question struct{ name, kind string }

// answer is what DNS says: its status, and the data of the records of the kind that was asked for,
// sorted.
type answer struct {
	status string
	data   []string
}

func (a answer) equal(b answer) bool { return a.status == b.status && slices.Equal(a.data, b.data) }

var nxdomain = answer{status: "NXDOMAIN"}

func found(data ...string) answer {
	return answer{status: "NOERROR", data: slices.Sorted(slices.Values(data))}
}

// clusterset is the full name of a Service of the scene in the clusterset's zone, with labels in
// front of it.
func (s *scene) clusterset(service string, before ...string) string {
	return strings.Join(append(before, service, s.namespace, "svc.clusterset.local."), ".")
}

// resolves returns an error unless a cluster's DNS gives these answers, as a pod sees them.
func (s *scene) resolves(ctx context.Context, c *cluster, want map[question]answer) error {
	questions := make([]question, 0, len(want))
	for q := range want {
		questions = append(questions, q)
	}
	answers, err := s.dig(ctx, c, questions)
	if err != nil {
		return err
	}
	for i, q := range questions {
		if !answers[i].equal(want[q]) {
			return fmt.Errorf("%s: %s %s: got %v, want %v", c.name, q.kind, q.name, answers[i], want[q])
		}
	}
	return nil
}

// dig asks all questions in one go; the answers come in their order.
func (s *scene) dig(ctx context.Context, c *cluster, questions []question) ([]answer, error) {
	argv := []string{"dig", "+tries=2", "+time=2", "+noall", "+comments", "+answer"}
	for _, q := range questions {
		argv = append(argv, q.name, q.kind)
	}
	out, err := s.tools(ctx, c, argv...)
	if err != nil {
		return nil, err
	}
	answers := parseDig(out, questions)
	if len(answers) != len(questions) {
		return nil, fmt.Errorf("%s: dig answered %d of %d questions: %s", c.name, len(answers), len(questions), out)
	}
	return answers, nil
}

// parseDig reads dig's comments and answers:
//
//	;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711
//	db.shop.svc.clusterset.local. 5 IN A 10.1.1.7
func parseDig(out string, questions []question) []answer {
	var answers []answer
	for line := range strings.Lines(out) {
		if _, status, ok := strings.Cut(line, "status: "); ok && strings.HasPrefix(line, ";; ->>HEADER<<-") {
			status, _, _ = strings.Cut(status, ",")
			answers = append(answers, answer{status: status})
			continue
		}
		fields := strings.Fields(line)
		last := len(answers) - 1
		if last < 0 || last >= len(questions) || len(fields) < 5 || strings.HasPrefix(line, ";") || fields[3] != questions[last].kind {
			continue
		}
		answers[last].data = append(answers[last].data, data(fields[3], fields[4:]))
	}
	for i := range answers {
		// CoreDNS repeats the target of an SRV record that has addresses of both families.
		slices.Sort(answers[i].data)
		answers[i].data = slices.Compact(answers[i].data)
	}
	return answers
}

// data is a record's content. Of an SRV record it is port and target: how CoreDNS spreads weights
// is its own affair.
func data(kind string, fields []string) string {
	if kind == "SRV" && len(fields) == 4 {
		fields = fields[2:]
	}
	return strings.Join(fields, " ")
}
