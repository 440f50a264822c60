package modshare_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modshare"
)

const someBucket = "https://s3.example.org/modules"

// noLogins leaves no keys in the environment, and has file as the credentials file.
func noLogins(t *testing.T, file string) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_ROLE_ARN",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", file+".none")
}

// roles hands out the keys of roles, as a machine, a container's host and STS do.
func roles(t *testing.T) (url string, asked func() string) {
	t.Helper()
	var said strings.Builder
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said.WriteString(r.Method + " " + r.URL.Path + "\n")
		switch {
		case r.URL.Path == "/latest/api/token":
			_, _ = io.WriteString(w, "token")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			_, _ = io.WriteString(w, "builders\n")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/builders":
			_, _ = io.WriteString(w, `{"Code":"Success","AccessKeyId":"machine","SecretAccessKey":"s","Token":"t","Expiration":"`+later+`"}`)
		case r.URL.Path == "/task":
			_, _ = io.WriteString(w, `{"AccessKeyId":"container","SecretAccessKey":"s","Token":"t","Expiration":"`+later+`"}`)
		case r.Method == http.MethodPost:
			_, _ = io.WriteString(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>web</AccessKeyId>`+
				`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>`+later+`</Expiration></Credentials>`+
				`</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, func() string { server.Close(); return said.String() }
}

func TestLogins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = a\naws_secret_access_key = b%c\n\n[team]\naws_access_key_id=d\naws_secret_access_key=e==\naws_session_token=f\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ profile, key, want string }{
		{"", "", "a b%c "}, {"team", "", "d e== f"}, {"", "own", "own secret "}, {"team", "own", "own secret "}, {"nobody", "", "  "},
	} {
		noLogins(t, file)
		t.Setenv("AWS_PROFILE", row.profile)
		t.Setenv("AWS_ACCESS_KEY_ID", row.key)
		t.Setenv("AWS_SECRET_ACCESS_KEY", strings.Replace(row.key, "own", "secret", 1))
		v, err := modshare.Login(t.Context(), someBucket, "")
		if got := v.AccessKeyID + " " + v.SecretAccessKey + " " + v.SessionToken; got != row.want || (err != nil) != (row.profile == "nobody") {
			t.Errorf("%+v: %s, %v", row, got, err)
		}
	}
}

// TestRoles asks who hands out the keys of roles only where the environment names a role,
// or the address says so.
func TestRoles(t *testing.T) {
	for _, row := range []struct{ name, set, address, want string }{
		{"nothing is set", "", someBucket, ""},
		{"a machine's", "", someBucket + "?credentials=iam", "machine"},
		{"a container's", "AWS_CONTAINER_CREDENTIALS_FULL_URI", someBucket, "container"},
		{"a web identity's", "AWS_WEB_IDENTITY_TOKEN_FILE", someBucket, "web"},
	} {
		t.Run(row.name, func(t *testing.T) {
			url, asked := roles(t)
			noLogins(t, filepath.Join(t.TempDir(), "none"))
			token := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(token, []byte("identity"), 0o600); err != nil {
				t.Fatal(err)
			}
			endpoint := url
			switch row.want {
			case "container":
				t.Setenv(row.set, url+"/task")
				endpoint = ""
			case "web":
				t.Setenv(row.set, token)
				t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/builders")
			}
			v, err := modshare.Login(t.Context(), row.address, endpoint)
			if v.AccessKeyID != row.want || (err != nil) != (row.want == "") {
				t.Errorf("%+v, %v", v.AccessKeyID, err)
			}
			if said := asked(); (said != "") != (row.want != "") {
				t.Errorf("asked: %q", said)
			}
			if err != nil && err.Error() != "neither the environment nor the credentials file has any" {
				t.Error(err)
			}
		})
	}
}

// TestSilentRole has nobody answer: the start goes on without keys.
func TestSilentRole(t *testing.T) {
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer server.Close()
	defer close(held)
	noLogins(t, filepath.Join(t.TempDir(), "none"))
	if v, err := modshare.Login(t.Context(), someBucket+"?credentials=iam", server.URL); err == nil {
		t.Errorf("keys from nobody: %+v", v)
	} else if !strings.Contains(err.Error(), "no answer from") {
		t.Error(err)
	}
	if modshare.Patience > time.Second {
		t.Error("a machine without a role waits for too long")
	}
}

// TestChangedFile takes keys that replace others in the file.
func TestChangedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	noLogins(t, file)
	write := func(key string) {
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+key+"\naws_secret_access_key = s\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	now := time.Now()
	get := modshare.Keys(t, someBucket, func() time.Time { return now })
	if got := get(); got != "one" {
		t.Error(got)
	}
	write("two")
	if got := get(); got != "one" {
		t.Error("read again at once:", got)
	}
	now = now.Add(time.Hour)
	if got := get(); got != "two" {
		t.Error(got)
	}
	if err := os.Remove(file); err != nil { // it is being replaced
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if got := get(); got != "two" {
		t.Error(got)
	}
}
