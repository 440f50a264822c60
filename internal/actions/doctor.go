package actions

import (
	"context"
	"errors"
	"fmt"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
)

// Examination is what the doctor came to.
type Examination struct {
	Findings []keepwell.Finding
	// Text is it in words, for people.
	Text string
}

// doctor examines; it changes nothing.
type doctor struct{ s *Set }

const mostFindings = 20

func (a doctor) target(r Request) (string, error) {
	target := r.text("target", "")
	switch {
	case !playbook.ModuleTarget(target):
		return "", msg.Wrong("do.doctor.target", short(target, 100))
	case a.s.o.Doctor == nil:
		return "", msg.Wrong("do.doctor.none")
	}
	return target, nil
}

func (a doctor) plan(r Request) (lines []msg.Reason, err error) {
	target, err := a.target(r)
	return []msg.Reason{msg.Because("plan.line.examine", target)}, err
}

func (a doctor) do(ctx context.Context, r Request) (res Result, err error) {
	target, err := a.target(r)
	if err != nil {
		return res, err
	}
	e, err := a.s.o.Doctor(ctx, target)
	if err != nil {
		return res, msg.Wrong("do.doctor.examining", target, err)
	}
	codes, bad := []map[string]any{}, 0
	for _, f := range e.Findings {
		if f.Severity == keepwell.SeverityError {
			bad++
		}
		if len(codes) < mostFindings {
			codes = append(codes, map[string]any{"code": f.Code, "severity": f.Severity})
		}
	}
	res = Result{Output: short(e.Text, replyRoom), Data: map[string]any{"findings": codes, "errors": bad}, Summary: fmt.Sprintf("%s: %d findings, %d of them errors", target, len(e.Findings), bad)}
	if bad > 0 && r.text("expect", "") == "healthy" {
		return res, errors.New(res.Summary)
	}
	return res, nil
}
