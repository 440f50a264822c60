package alerts

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// AssetRule derives from labels what an alert is about.
type AssetRule struct {
	// Kind stands in front: "pod", "node", "instance".
	Kind string `yaml:"kind"`
	// Labels are joined by "/". A name with "?" may be missing; a rule applies where all
	// others are there. "cluster?" keeps equal names of two clusters apart.
	Labels []string `yaml:"labels"`
}

// DefaultAssets are the rules where none are configured, from the most particular to
// the most general. A pod's owner comes before the pod: pods come and go.
func DefaultAssets() []AssetRule {
	where := func(names ...string) []string { return append([]string{"cluster?"}, names...) }
	return []AssetRule{
		{"pvc", where("namespace", "persistentvolumeclaim")},
		{"hpa", where("namespace", "horizontalpodautoscaler")},
		{"deployment", where("namespace", "deployment")},
		{"statefulset", where("namespace", "statefulset")},
		{"daemonset", where("namespace", "daemonset")},
		{"cronjob", where("namespace", "cronjob")},
		{"job", where("namespace", "job_name")},
		{"pod", where("namespace", "pod")},
		{"node", where("node")},
		{"consumergroup", where("instance?", "consumergroup")},
		{"queue", where("instance?", "vhost?", "queue")},
		{"instance", where("instance")},
		{"host", where("host")},
		{"host", where("hostname")},
		{"service", where("namespace?", "service")},
		{"service", where("namespace?", "app")},
		{"namespace", where("namespace")},
		{"target", where("target")},
		{"job", where("job")},
		{"cluster", []string{"cluster"}},
	}
}

var (
	labelName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:/-]*\??$`) })
	assetKind = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9-]*$`) })
)

// Validate reports everything that is wrong with r.
func (r AssetRule) Validate() error {
	var errs []error
	if !assetKind().MatchString(r.Kind) {
		errs = append(errs, fmt.Errorf("asset kind %q is no word of a-z, 0-9 and hyphens", r.Kind))
	}
	required := 0
	for _, l := range r.Labels {
		if !labelName().MatchString(l) {
			errs = append(errs, fmt.Errorf("asset label %q is no name of a label", l))
		}
		if !strings.HasSuffix(l, "?") {
			required++
		}
	}
	if required == 0 {
		errs = append(errs, fmt.Errorf("asset kind %q has no label that must be there", r.Kind))
	}
	return errors.Join(errs...)
}

// Asset names what labels are about by the first rule that applies; "" where none does.
func Asset(rules []AssetRule, labels map[string]string) string {
	for _, r := range rules {
		if name, ok := r.name(labels); ok {
			return name
		}
	}
	return ""
}

func (r AssetRule) name(labels map[string]string) (string, bool) {
	parts := make([]string, 1, len(r.Labels)+1)
	parts[0] = r.Kind
	for _, l := range r.Labels {
		l, optional := strings.CutSuffix(l, "?")
		switch v := labels[l]; {
		case v != "":
			// A slash of a value would read as one of ours.
			parts = append(parts, strings.ReplaceAll(v, "/", "%2F"))
		case !optional:
			return "", false
		}
	}
	const longest = 512
	name := strings.Join(parts, "/")
	return name, len(name) <= longest
}
