package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
)

// promql asks Prometheus.
type promql struct {
	c *http.Client
	s *Set
}

func (a promql) plan(r Request) (lines []msg.Reason, err error) {
	line := msg.Because("plan.line.ask", r.text("query", ""))
	if e := r.text("expect", ""); e != "" {
		line = msg.Because("plan.line.ask.expect", r.text("query", ""), e)
	}
	if a.s.o.Prometheus == "" {
		err = errNoPrometheus
	}
	return []msg.Reason{line}, err
}

var errNoPrometheus = msg.Wrong("do.noprometheus")

func (a promql) do(ctx context.Context, r Request) (res Result, err error) {
	if a.s.o.Prometheus == "" {
		return res, errNoPrometheus
	}
	values, err := a.ask(ctx, r.text("query", ""), time.Time{})
	if err != nil {
		return res, err
	}
	res.Output = strings.Join(values, " ")
	res.Summary = fmt.Sprintf("%d values", len(values))
	if len(values) == 0 {
		return res, msg.Wrong("do.promql.empty")
	}
	op, number := playbook.Expectation(r.text("expect", ""))
	for _, v := range values {
		if op != "" && !compare(v, op, number) {
			return res, msg.Wrong("do.expect", v, op, number)
		}
	}
	return res, nil
}

// ask returns the values of an expression at a time, or now.
func (a promql) ask(ctx context.Context, query string, at time.Time) ([]string, error) {
	base, err := vaultOf(ctx).opened(a.s.o.Prometheus)
	if err != nil {
		return nil, err
	}
	asked := url.Values{"query": {query}}
	if !at.IsZero() {
		asked.Set("time", at.UTC().Format(time.RFC3339Nano))
	}
	got, err := send(ctx, a.c, http.MethodGet, strings.TrimSuffix(base, "/")+"/api/v1/query?"+asked.Encode(), nil, nil)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(got.body, &doc); err != nil || doc.Status != "success" {
		if !success(got.status) && doc.Error == "" {
			return nil, judge(http.MethodGet, "Prometheus", got)
		}
		return nil, msg.Wrong("do.promql.refused", doc.Error)
	}
	return samples(doc.Data.ResultType, doc.Data.Result)
}

// Holds asks Prometheus whether an expression has a sample other than zero at a time.
func (s *Set) Holds(ctx context.Context, query string, at time.Time) (bool, error) {
	a, ok := s.kinds["promql"].(promql)
	if !ok || s.o.Prometheus == "" {
		return false, errNoPrometheus
	}
	known := &vault{open: s.o.Secrets}
	values, err := a.ask(context.WithValue(ctx, vaultKey{}, known), query, at)
	if err != nil {
		return false, known.failed(err)
	}
	return slices.ContainsFunc(values, func(v string) bool { return compare(v, "!=", "0") }), nil
}

// samples are the values of a vector or a scalar.
func samples(kind string, result json.RawMessage) (values []string, err error) {
	pair := func(p [2]any) {
		if s, ok := p[1].(string); ok {
			values = append(values, s)
		}
	}
	switch kind {
	case "vector":
		var list []struct{ Value [2]any }
		err = json.Unmarshal(result, &list)
		for _, e := range list {
			pair(e.Value)
		}
	case "scalar":
		var one [2]any
		err = json.Unmarshal(result, &one)
		pair(one)
	default:
		err = fmt.Errorf("the answer of Prometheus is a %.20q, not a vector or a scalar", kind)
	}
	return values, err
}

// compare holds for no value that is not a number.
func compare(value, op, number string) bool {
	v, err := strconv.ParseFloat(value, 64)
	n, bad := strconv.ParseFloat(number, 64)
	if err != nil || bad != nil || v != v {
		return false
	}
	switch op {
	case "<":
		return v < n
	case "<=":
		return v <= n
	case ">":
		return v > n
	case ">=":
		return v >= n
	case "==":
		return v == n
	}
	return op == "!=" && v != n
}
