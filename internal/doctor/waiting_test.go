package doctor

import "testing"

func TestReadSteps(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     steps
		rest     string
	}{
		{"all answered, the last body did not end", "# get https://a.example/x.info\n# get https://a.example/x.info: 200 OK (0.010s)\n# get https://a.example/x.zip\n# get https://a.example/x.zip: 200 OK (0.010s)\n", steps{waiting: "https://a.example/x.zip", body: true}, ""},
		{"one without an answer", "# get https://a.example/x.info\n# get https://a.example/x.info: 200 OK (0.010s)\n# get https://b.example:8443/supported\n", steps{waiting: "https://b.example:8443/supported"}, ""},
		{"a refusal is over", "# get https://a.example/x.info\n# get https://a.example/x.info: 404 Not Found (0.010s)\ngo: not found\n", steps{}, "go: not found\n"},
		{
			"git at work", "mkdir -p /c/vcs # git3 https://github.com/acme/widget\n# lock /c/vcs/1.lock\ncd /c/vcs/1; git init --bare\n0.012s # cd /c/vcs/1; git init --bare\ncd /c/vcs/1; git ls-remote -q --end-of-options origin\n",
			steps{waiting: "cd /c/vcs/1; git ls-remote -q --end-of-options origin", remote: "https://github.com/acme/widget"},
			"",
		},
		{"no account", "go: downloading example.com/a v1.0.0\n", steps{}, "go: downloading example.com/a v1.0.0\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, rest := readSteps([]byte(c.in))
			if got != c.want || string(rest) != c.rest {
				t.Errorf("got %+v and %q, want %+v and %q", got, rest, c.want, c.rest)
			}
		})
	}
}

func TestSumDBName(t *testing.T) {
	for in, want := range map[string][2]string{
		"sum.example.org": {"sum.example.org", ""},
		"sum.example.org+033de0ae+AAAA https://m.x": {"sum.example.org", "https://m.x"},
		"off": {"off", ""},
	} {
		if name, base := sumDBName(in); name != want[0] || base != want[1] {
			t.Errorf("%q: %q %q", in, name, base)
		}
	}
}
