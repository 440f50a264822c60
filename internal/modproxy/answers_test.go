package modproxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
)

// TestAnswersInTheServicesLanguage: what go shows is in the language of --lang.
func TestAnswersInTheServicesLanguage(t *testing.T) {
	t.Parallel()
	broken := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no luck", http.StatusInternalServerError) }))
	refuses := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "licence", http.StatusForbidden) }))
	for _, x := range []struct {
		upstream string
		lang     msg.Lang
		kept     bool
		want     []string
	}{
		{broken, msg.EN, false, []string{"keepwell could not get " + widget + " (versions); tried:\n", ": 500 Internal Server Error"}},
		{broken, msg.ZH, false, []string{"keepwell 没能取得 " + widget + " (versions)，问过的服务器：\n", "：返回状态码 500 Internal Server Error（no luck）"}},
		{refuses + "!", msg.ZH, false, []string{"禁止获取 ", "：规则 上游 ", " 的拒绝即为最终结果"}},
		{broken, msg.EN, true, []string{"not found: " + widget + " (versions): it is not kept here, and the client wants nobody to be asked (Disable-Module-Fetch)\n"}},
		{broken, msg.ZH, true, []string{"没有找到：" + widget + " (versions)：本代理没有保存，而客户端要求不向任何上游查询"}},
	} {
		url, _ := start(t, x.upstream, func(o *modproxy.Options) { o.Lang = x.lang })
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/"+widget+"/@v/list", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if x.kept {
			r.Header.Set("Disable-Module-Fetch", "true")
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		said := string(data)
		for _, want := range x.want {
			if !strings.Contains(said, want) {
				t.Errorf("no %q in %q", want, said)
			}
		}
	}
}
