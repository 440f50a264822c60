//go:build unix

package cli_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// explained runs go behind one bad upstream, in both languages, and gives what was said
// without the breaks of lines.
func (l *runLab) explained(upstream string) (en, zh string) {
	l.t.Helper()
	said := map[string]string{}
	for _, lang := range []string{"en", "zh"} {
		code, _, errs := l.run("run", "--lang", lang, "--dir", filepath.Join(l.work, "store"), "--upstream", upstream, "--", "go", "mod", "download")
		if code != 1 {
			l.t.Errorf("%s: exit %d: %s", lang, code, errs)
		}
		said[lang] = strings.ReplaceAll(errs, "\n  ", " ")
	}
	return said["en"], said["zh"]
}

// TestRunNamesTheVeryServer: the headline and the commands are for the scheme and the
// port that were asked.
func TestRunNamesTheVeryServer(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	at := l.serve(func(w http.ResponseWriter, r *http.Request, good []byte) bool {
		closing(false)(w, r, good)
		return true
	})
	name := strings.TrimPrefix(at, "http://")
	en, zh := l.explained(at)
	for said, headline := range map[string]string{en: "The connection to " + name + " was cut", zh: "与 " + name + " 的连接"} {
		if !strings.Contains(said, headline) || !strings.Contains(said, " "+at+"/\n") || strings.Contains(said, "https://127.0.0.1") {
			t.Errorf("no %q, or another command:\n%s", headline, said)
		}
	}
}

// TestRunTellsAPageToSignIn: it has a command to look at the page, and says that the
// network may have sent it.
func TestRunTellsAPageToSignIn(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	at := l.serve(func(w http.ResponseWriter, r *http.Request, good []byte) bool {
		words(labPage)(w, r, good)
		return true
	})
	en, zh := l.explained(at)
	for _, said := range []string{en, zh} {
		if !strings.Contains(said, "proxy/bad-response") || !strings.Contains(said, "net/intercepted") ||
			!strings.Contains(said, at+"/example.com/widget/@v/v1.0.0.info && head") {
			t.Error(said)
		}
	}
}
