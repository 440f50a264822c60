//go:build unix

package faultlab

import (
	"slices"

	"github.com/keepwell/keepwell/internal/moved"
)

// LostNames are the stories by which finding and mending of names is measured.
func LostNames() []Lost {
	return slices.Concat(lostBySpelling(), lostByMajor(), lostByVersion(), lostByMoving(), lostAndPrivate(), lostAndNothing(), lostPackages(), lostUnseen())
}

func lostBySpelling() []Lost {
	return []Lost{
		{
			Name: "typo-doubled-letter", Story: "logrus, with one s too many",
			Asked: "github.com/sirupsen/logruss@v1.9.3", Has: []string{"github.com/sirupsen/logrus v1.8.1,v1.9.3"},
			Kind: moved.Typo, To: "github.com/sirupsen/logrus", Version: "v1.9.3", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-missing-letter", Story: "testify, a letter swallowed, no version given",
			Asked: "github.com/stretchr/testfy", Has: []string{"github.com/stretchr/testify v1.8.0,v1.9.0"},
			Kind: moved.Typo, To: "github.com/stretchr/testify", Version: "v1.9.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-swapped", Story: "cobra typed in haste",
			Asked: "github.com/spf13/corba@v1.8.0", Has: []string{"github.com/spf13/cobra v1.8.0,v1.8.1"},
			Kind: moved.Typo, To: "github.com/spf13/cobra", Version: "v1.8.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-neighbour-key", Story: "a short name and the key beside the right one",
			Asked: "github.com/gorilla/nux@v1.8.1", Has: []string{"github.com/gorilla/mux v1.8.0,v1.8.1"},
			Kind: moved.Typo, To: "github.com/gorilla/mux", Version: "v1.8.1", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-underscore", Story: "an underscore for a hyphen",
			Asked: "github.com/mattn/go_isatty@v0.0.20", Has: []string{"github.com/mattn/go-isatty v0.0.20"},
			Kind: moved.Typo, To: "github.com/mattn/go-isatty", Version: "v0.0.20", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-owner", Story: "the owner's name has a letter too few",
			Asked: "github.com/strechr/testify@v1.9.0", Has: []string{"github.com/stretchr/testify v1.9.0"},
			Kind: moved.Typo, To: "github.com/stretchr/testify", Version: "v1.9.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-owner-hyphen", Story: "go-chi without its hyphen, with a major version",
			Asked: "github.com/gochi/chi/v5@v5.0.12", Has: []string{"github.com/go-chi/chi/v5 v5.0.11,v5.0.12"},
			Kind: moved.Typo, To: "github.com/go-chi/chi/v5", Version: "v5.0.12", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-of-go-mod", Story: "a module nobody has heard of, which the project requires under its right name",
			Asked: "github.com/lumen-lab/prism@v1.2.0", Has: []string{"github.com/lumen-labs/prism v1.2.0"},
			Require: []string{"github.com/lumen-labs/prism v1.2.0"},
			Kind:    moved.Typo, To: "github.com/lumen-labs/prism", Version: "v1.2.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-of-go-sum", Story: "a module that go.sum still knows, typed anew",
			Asked: "github.com/quietriver/tidepoool@v0.4.0", Has: []string{"github.com/quietriver/tidepool v0.3.0,v0.4.0"},
			Sum:  []string{"github.com/quietriver/tidepool v0.4.0"},
			Kind: moved.Typo, To: "github.com/quietriver/tidepool", Version: "v0.4.0", Mend: moved.UpdatePath,
		},
		{
			Name: "typo-of-cache", Story: "used in another project on this machine",
			Asked: "github.com/brightmoss/kelpforst@v1.0.1", Has: []string{"github.com/brightmoss/kelpforest v1.0.0,v1.0.1"},
			Cache: []string{"github.com/brightmoss/kelpforest v1.0.0"},
			Kind:  moved.Typo, To: "github.com/brightmoss/kelpforest", Version: "v1.0.1", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-golang-x", Story: "golang.org/x/text, shortened by mistake",
			Asked: "golang.org/x/txt@v0.14.0", Has: []string{"golang.org/x/text v0.13.0,v0.14.0"},
			Kind: moved.Typo, To: "golang.org/x/text", Version: "v0.14.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "typo-in-package-path", Story: "the owner is wrong in the path of a package within a module",
			Asked: "github.com/prometeus/client_golang/prometheus", Has: []string{"github.com/prometheus/client_golang v1.19.0 prometheus"},
			Kind: moved.Typo, To: "github.com/prometheus/client_golang", Version: "v1.19.0", Mend: moved.UpdatePath,
		},
		{
			Name: "host-swapped", Story: "githbu.com",
			Asked: "githbu.com/spf13/viper@v1.18.2", Has: []string{"github.com/spf13/viper v1.18.2"},
			Kind: moved.Typo, To: "github.com/spf13/viper", Version: "v1.18.2", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "host-of-unknown", Story: "githud.com, of a module that is in no list",
			Asked: "githud.com/quietriver/lantern@v1.1.0", Has: []string{"github.com/quietriver/lantern v1.0.0,v1.1.0"},
			Kind: moved.Typo, To: "github.com/quietriver/lantern", Version: "v1.1.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "host-domain", Story: "github.org",
			Asked: "github.org/pkg/errors@v0.9.1", Has: []string{"github.com/pkg/errors v0.9.1"},
			Kind: moved.Typo, To: "github.com/pkg/errors", Version: "v0.9.1", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "host-vanity-domain", Story: "go.uber.com",
			Asked: "go.uber.com/zap@v1.27.0", Has: []string{"go.uber.org/zap v1.27.0"},
			Kind: moved.Typo, To: "go.uber.org/zap", Version: "v1.27.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "host-forgotten", Story: "npm taught somebody that owner/name is enough",
			Asked: "spf13/cobra@v1.8.0", Has: []string{"github.com/spf13/cobra v1.8.0"},
			Kind: moved.Typo, To: "github.com/spf13/cobra", Version: "v1.8.0", Mend: moved.UpdatePath,
		},
		{
			Name: "address-pasted", Story: "copied from the browser",
			Asked: "https://github.com/spf13/cobra/tree/main@v1.8.0", Has: []string{"github.com/spf13/cobra v1.8.0"},
			Kind: moved.Typo, To: "github.com/spf13/cobra", Version: "v1.8.0", Mend: moved.UpdatePath,
		},
		{
			Name: "address-of-git", Story: "the address that git clone takes, of a module in no list",
			Asked: "github.com/quietriver/lantern.git@v1.1.0", Has: []string{"github.com/quietriver/lantern v1.1.0"},
			Kind: moved.Typo, To: "github.com/quietriver/lantern", Version: "v1.1.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "case-of-old", Story: "Sirupsen with a capital, from an old tutorial",
			Asked: "github.com/Sirupsen/logrus@v1.9.3", Has: []string{"github.com/sirupsen/logrus v1.9.3"},
			Kind: moved.Case, To: "github.com/sirupsen/logrus", Version: "v1.9.3", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "case-needed", Story: "BurntSushi in small letters: the proxy knows it with capitals only",
			Asked: "github.com/burntsushi/toml@v1.3.2", Has: []string{"github.com/BurntSushi/toml v1.3.2"},
			Kind: moved.Case, To: "github.com/BurntSushi/toml", Version: "v1.3.2", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "case-declared", Story: "the proxy serves both cases, the go.mod decides",
			Asked: "github.com/QuietRiver/Lantern@v1.1.0", Has: []string{"github.com/QuietRiver/Lantern v1.1.0", "github.com/quietriver/lantern v1.1.0"},
			Mods: map[string]string{"github.com/QuietRiver/Lantern@v1.1.0": "module github.com/quietriver/lantern\n\ngo 1.20\n"},
			Kind: moved.Case, To: "github.com/quietriver/lantern", Version: "v1.1.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "case-of-unknown", Story: "capitals that the repository's page has and its go.mod has not",
			Asked: "github.com/QuietRiver/lantern@v1.1.0", Has: []string{"github.com/quietriver/lantern v1.1.0"},
			Kind: moved.Case, To: "github.com/quietriver/lantern", Version: "v1.1.0", Mend: moved.UpdatePath, Builds: true,
		},
	}
}

func lostByMajor() []Lost {
	return []Lost{
		{
			Name: "major-missing", Story: "version 5 without /v5",
			Asked: "github.com/go-chi/chi@v5.0.12", Has: []string{"github.com/go-chi/chi v1.5.5", "github.com/go-chi/chi/v5 v5.0.11,v5.0.12"},
			Kind: moved.Major, To: "github.com/go-chi/chi/v5", Version: "v5.0.12", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "major-too-many", Story: "/v2 of a module that never had one",
			Asked: "github.com/spf13/cobra/v2", Wants: "v2.0.0", Has: []string{"github.com/spf13/cobra v1.8.0,v1.8.1"},
			Kind: moved.Major, To: "github.com/spf13/cobra", Version: "v1.8.1", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "major-one", Story: "/v1, which no module has",
			Asked: "github.com/quietriver/lantern/v1@v1.1.0", Has: []string{"github.com/quietriver/lantern v1.1.0"},
			Kind: moved.Major, To: "github.com/quietriver/lantern", Version: "v1.1.0", Mend: moved.UpdatePath,
		},
		{
			Name: "major-other", Story: "/v8 with a version 9",
			Asked: "github.com/harborline/cargo/v8@v9.5.1", Has: []string{"github.com/harborline/cargo/v8 v8.11.5", "github.com/harborline/cargo/v9 v9.5.0,v9.5.1"},
			Kind: moved.Major, To: "github.com/harborline/cargo/v9", Version: "v9.5.1", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "major-gopkg-forgotten", Story: "gopkg.in without .vN",
			Asked: "gopkg.in/yaml@v3.0.1", Has: []string{"gopkg.in/yaml.v2 v2.4.0", "gopkg.in/yaml.v3 v3.0.0,v3.0.1"},
			Kind: moved.Major, To: "gopkg.in/yaml.v3", Version: "v3.0.1", Mend: moved.UpdatePath,
		},
		{
			Name: "major-gopkg-other", Story: "yaml.v2 with a version 3",
			Asked: "gopkg.in/yaml.v2@v3.0.1", Has: []string{"gopkg.in/yaml.v2 v2.4.0", "gopkg.in/yaml.v3 v3.0.1"},
			Kind: moved.Major, To: "gopkg.in/yaml.v3", Version: "v3.0.1", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "major-incompatible", Story: "version 2 from before modules",
			Asked: "github.com/aurora-tools/beacon@v2.3.0", Has: []string{"github.com/aurora-tools/beacon v1.0.0,v2.3.0+incompatible"},
			Kind: moved.Version, To: "github.com/aurora-tools/beacon", Version: "v2.3.0+incompatible", Mend: moved.UpdateVersion, Builds: true,
		},
		{
			Name: "nested-package", Story: "go.mod requires a package where it should require its module",
			Asked: "github.com/aws/aws-sdk-go/aws/session@v1.50.0", Has: []string{"github.com/aws/aws-sdk-go v1.49.0,v1.50.0 aws/session"},
			Kind: moved.Nested, To: "github.com/aws/aws-sdk-go", Version: "v1.50.0", Mend: moved.GetOther, Builds: true,
		},
		{
			Name: "nested-package-of-unknown", Story: "the same with a module in no list",
			Asked: "github.com/harborline/cargo/crane@v1.2.3", Has: []string{"github.com/harborline/cargo v1.2.3 crane"},
			Kind: moved.Nested, To: "github.com/harborline/cargo", Version: "v1.2.3", Mend: moved.GetOther, Builds: true,
		},
		{
			Name: "nested-package-of-vanity", Story: "a package of k8s.io/client-go",
			Asked: "k8s.io/client-go/kubernetes", Has: []string{"k8s.io/client-go v0.29.0,v0.29.1 kubernetes"},
			Kind: moved.Nested, To: "k8s.io/client-go", Version: "v0.29.1", Mend: moved.GetOther, Wants: "v0.29.1", Builds: true,
		},
		{
			Name: "nested-in-major", Story: "a package of version 4",
			Asked: "github.com/harborline/echo/v4/middleware@v4.11.4", Has: []string{"github.com/harborline/echo/v4 v4.11.4 middleware"},
			Kind: moved.Nested, To: "github.com/harborline/echo/v4", Version: "v4.11.4", Mend: moved.GetOther,
		},
		{
			Name: "nested-untagged", Story: "a module in a subdirectory, tagged v1.2.3 where it needs crane/v1.2.3",
			Asked: "github.com/harborline/cargo/crane@v1.2.3", Has: []string{"github.com/harborline/cargo v1.2.3"},
			Latest: map[string]string{"github.com/harborline/cargo/crane": "v0.0.0-20260101000000-0123456789ab"},
			Kind:   moved.Nested, To: "github.com/harborline/cargo/crane", Version: "v0.0.0-20260101000000-0123456789ab", Mend: moved.UpdateVersion,
			Other: []moved.Mend{moved.AskOwner}, Builds: true,
		},
	}
}

func lostByVersion() []Lost {
	uuid := []string{"github.com/google/uuid v1.3.0,v1.3.1,v1.4.0,v1.6.0"}
	return []Lost{
		{
			Name: "version-without-v", Story: "1.6.0, as other tools write it",
			Asked: "github.com/google/uuid@1.6.0", Has: uuid,
			Kind: moved.Version, To: "github.com/google/uuid", Version: "v1.6.0", Mend: moved.UpdateVersion,
		},
		{
			Name: "version-capital-v", Story: "V1.6.0",
			Asked: "github.com/google/uuid@V1.6.0", Has: uuid,
			Kind: moved.Version, To: "github.com/google/uuid", Version: "v1.6.0", Mend: moved.UpdateVersion,
		},
		{
			Name: "version-four-parts", Story: "v1.3.1.0",
			Asked: "github.com/google/uuid@v1.3.1.0", Has: uuid,
			Kind: moved.Version, To: "github.com/google/uuid", Version: "v1.3.1", Mend: moved.UpdateVersion,
		},
		{
			Name: "version-patch", Story: "a patch release that never was",
			Asked: "github.com/google/uuid@v1.3.9", Has: uuid,
			Kind: moved.Version, To: "github.com/google/uuid", Version: "v1.3.1", Mend: moved.UpdateVersion, Builds: true,
		},
		{
			Name: "version-too-new", Story: "a release that somebody dreamt of",
			Asked: "github.com/google/uuid@v1.60.0", Has: uuid,
			Kind: moved.Version, To: "github.com/google/uuid", Version: "v1.6.0", Mend: moved.UpdateVersion, Builds: true,
		},
		{
			Name: "version-too-old", Story: "older than the first tag",
			Asked: "github.com/google/uuid@v0.9.0", Has: uuid,
			Kind: moved.Version, To: "github.com/google/uuid", Version: "v1.3.0", Mend: moved.UpdateVersion, Builds: true,
		},
		{
			Name: "version-candidate", Story: "rc.3 was promised, rc.2 is the last one",
			Asked: "github.com/harborline/cargo@v1.5.0-rc.3", Has: []string{"github.com/harborline/cargo v1.4.0,v1.5.0-rc.1,v1.5.0-rc.2"},
			Kind: moved.Version, To: "github.com/harborline/cargo", Version: "v1.5.0-rc.2", Mend: moved.UpdateVersion, Builds: true,
		},
		{
			Name: "version-lost-commit", Story: "the branch of the pseudo-version was rebased away; the change is in the next release",
			Asked: "github.com/harborline/cargo@v1.4.1-0.20251201000000-deadbeefcafe", Has: []string{"github.com/harborline/cargo v1.4.0,v1.4.1,v1.5.0"},
			Kind: moved.Version, To: "github.com/harborline/cargo", Version: "v1.4.1", Mend: moved.UpdateVersion, Builds: true,
		},
		{
			Name: "version-lost-commit-untagged", Story: "the commit is gone and nothing was ever tagged",
			Asked: "github.com/harborline/dock@v0.0.0-20251201000000-deadbeefcafe", Has: []string{"github.com/harborline/dock ()"},
			Latest: map[string]string{"github.com/harborline/dock": "v0.0.0-20260101000000-0123456789ab"},
			Kind:   moved.Version, To: "github.com/harborline/dock", Version: "v0.0.0-20260101000000-0123456789ab", Mend: moved.UpdateVersion, Builds: true,
		},
		{
			Name: "version-retracted", Story: "taken back because it loses data, and gone from the proxy for that",
			Asked: "github.com/harborline/cargo@v1.4.1", Has: []string{"github.com/harborline/cargo v1.4.0,v1.4.2,v1.5.0"},
			Mods: map[string]string{"github.com/harborline/cargo@v1.5.0": "module github.com/harborline/cargo\n\ngo 1.20\n\nretract [v1.4.1, v1.4.2] // loses data on restart\n"},
			Kind: moved.Retracted, To: "github.com/harborline/cargo", Version: "v1.5.0", Mend: moved.UpdateVersion, Builds: true,
		},
	}
}

func lostByMoving() []Lost {
	return []Lost{
		{
			Name: "moved-by-host", Story: "the organisation was renamed; the host leads on, and go.mod says the new path",
			Asked: "github.com/oldharbor/paint@v1.3.0", Has: []string{"github.com/newharbor/paint v1.2.0,v1.3.0"},
			Hosts: map[string]string{"github.com/oldharbor/paint": "301 https://github.com/newharbor/paint"},
			Kind:  moved.Renamed, To: "github.com/newharbor/paint", Version: "v1.3.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "moved-by-host-major", Story: "the same with /v2",
			Asked: "github.com/oldharbor/brush/v2@v2.0.1", Has: []string{"github.com/newharbor/brush/v2 v2.0.1"},
			Hosts: map[string]string{"github.com/oldharbor/brush": "301 https://github.com/newharbor/brush"},
			Kind:  moved.Renamed, To: "github.com/newharbor/brush/v2", Version: "v2.0.1", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "moved-by-go-mod", Story: "a company gave its module a domain; the newest go.mod under the old path says so",
			Asked: "github.com/harborline/lens@v0.30.0", Has: []string{"github.com/harborline/lens v0.29.0,v0.30.0", "lens.harborline.dev/lens v0.30.0,v0.30.1"},
			Mods:  map[string]string{"github.com/harborline/lens@v0.30.0": "module lens.harborline.dev/lens\n\ngo 1.20\n"},
			Hosts: map[string]string{"lens.harborline.dev/lens": "import lens.harborline.dev/lens git https://github.com/harborline/lens"},
			Kind:  moved.Renamed, To: "lens.harborline.dev/lens", Version: "v0.30.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "moved-vanity-forgotten", Story: "zap by its repository in place of its import path",
			Asked: "github.com/uber-go/zap@v1.27.0", Has: []string{"github.com/uber-go/zap v1.27.0", "go.uber.org/zap v1.27.0"},
			Mods: map[string]string{"github.com/uber-go/zap@v1.27.0": "module go.uber.org/zap\n\ngo 1.20\n"},
			Kind: moved.Renamed, To: "go.uber.org/zap", Version: "v1.27.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "moved-by-deprecation", Story: "the last release says where to go, in its comment; the version asked is gone",
			Asked: "github.com/harborline/oldjson@v1.5.4", Has: []string{"github.com/harborline/oldjson v1.5.3", "github.com/harborline/json v1.33.0"},
			Mods: map[string]string{"github.com/harborline/oldjson@v1.5.3": "// Deprecated: Use the \"github.com/harborline/json\" module instead.\nmodule github.com/harborline/oldjson\n\ngo 1.20\n"},
			Kind: moved.Version, To: "github.com/harborline/oldjson", Version: "v1.5.3", Mend: moved.UpdateVersion, Other: []moved.Mend{moved.UpdatePath}, Builds: true,
		},
		{
			Name: "moved-by-deprecation-alone", Story: "deprecated with a successor; every version is there, but declares another Go",
			Asked: "github.com/harborline/oldjson", Has: []string{"github.com/harborline/oldjson v1.5.3", "github.com/harborline/json v1.33.0"},
			Mods: map[string]string{"github.com/harborline/oldjson@v1.5.3": "// Deprecated: use https://github.com/harborline/json instead\nmodule github.com/harborline/oldjson\n\ngo 1.20\n"},
			Kind: moved.Deprecated, To: "github.com/harborline/json", Version: "v1.33.0", Mend: moved.UpdatePath, Wants: "v1.5.9", Builds: true,
		},
		{
			Name: "moved-vanity-host", Story: "the domain of a vanity path leads to another one",
			Asked: "go.oldharbor.dev/kit@v0.4.0", Has: []string{"go.newharbor.dev/kit v0.4.0"},
			Hosts: map[string]string{"go.oldharbor.dev/kit": "301 https://go.newharbor.dev/kit?go-get=1"},
			Kind:  moved.Renamed, To: "go.newharbor.dev/kit", Version: "v0.4.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "moved-well-known", Story: "jwt-go was handed to a community years ago",
			Asked: "github.com/dgrijalva/jwt-go@v3.2.0", Has: []string{"github.com/golang-jwt/jwt/v4 v4.5.0"},
			Kind: moved.Renamed, To: "github.com/golang-jwt/jwt/v4", Version: "v4.5.0", Mend: moved.UpdatePath, Wants: "v3.2.0+incompatible", Builds: true,
		},
		{
			Name: "deleted-with-copy", Story: "the repository is gone; the proxy kept an older version",
			Asked: "github.com/vanished/lib@v1.4.0", Has: []string{"github.com/vanished/lib v1.3.0"},
			Hosts: map[string]string{"github.com/vanished/lib": "404"},
			Kind:  moved.Deleted, To: "github.com/vanished/lib", Version: "v1.3.0", Mend: moved.UpdateVersion, Other: []moved.Mend{moved.KeepCopy}, Builds: true,
		},
		{
			Name: "deleted-without-copy", Story: "the project built last year; now nobody has it",
			Asked: "github.com/vanished/tool@v1.4.0", Sum: []string{"github.com/vanished/tool v1.4.0"},
			Hosts: map[string]string{"github.com/vanished/tool": "404"},
			Kind:  moved.Deleted, To: "", Version: "", Mend: moved.MarkAbandoned, Other: []moved.Mend{moved.AskOwner},
		},
		{
			Name: "deleted-cached-here", Story: "only this machine has a copy, of another version",
			Asked: "github.com/vanished/gem@v1.4.0", Cache: []string{"github.com/vanished/gem v1.3.9"},
			Hosts: map[string]string{"github.com/vanished/gem": "404"},
			Kind:  moved.Deleted, To: "github.com/vanished/gem", Version: "v1.3.9", Mend: moved.UpdateVersion, Other: []moved.Mend{moved.KeepCopy}, Builds: true,
		},
		{
			Name: "archived", Story: "its host says that nobody works on it any more",
			Asked: "github.com/harborline/relic@v1.9.0", Has: []string{"github.com/harborline/relic v1.8.0"},
			Hosts: map[string]string{"api.github.com/repos/harborline/relic": `{"full_name":"harborline/relic","archived":true}`},
			Env:   []string{"GITHUB_TOKEN", "TOKEN-for-api"},
			Kind:  moved.Version, To: "github.com/harborline/relic", Version: "v1.8.0", Mend: moved.UpdateVersion, Other: []moved.Mend{moved.MarkAbandoned}, Builds: true,
		},
	}
}

func lostAndPrivate() []Lost {
	return []Lost{
		{
			Name: "private-typo", Story: "a slip in a private name, which go.mod knows",
			Asked: "git.corp.local/team/wdget@v1.2.0", Require: []string{"git.corp.local/team/widget v1.2.0"}, Silent: true,
			Kind: moved.Typo, To: "git.corp.local/team/widget", Version: "v1.2.0", Mend: moved.UpdatePath,
		},
		{
			Name: "private-pattern", Story: "GOPRIVATE covers it, and nothing is like it",
			Asked: "github.com/acme-secret/engine@v1.0.0", Env: []string{"GOPRIVATE", "github.com/acme-secret"}, Silent: true,
		},
		{
			Name: "private-noproxy", Story: "GONOPROXY alone covers it",
			Asked: "github.com/acme-secret/engine@v1.0.0", Env: []string{"GONOPROXY", "github.com/acme-secret/*"}, Silent: true,
		},
		{
			Name: "private-one-label", Story: "a host of the company's network",
			Asked: "gitserver/team/lib@v1.0.0", Silent: true,
		},
		{
			Name: "private-internal", Story: "a top level domain that is nobody's",
			Asked: "code.acme.internal/team/lib@v1.0.0", Silent: true,
		},
		{
			Name: "private-address", Story: "a host by its address",
			Asked: "10.0.0.7/team/lib@v1.0.0", Silent: true,
		},
		{
			Name: "private-off", Story: "GOPROXY=off: nobody shall be asked",
			Asked: "github.com/sirupsen/logruss@v1.9.3", Env: []string{"GOPROXY", "off"}, Silent: true,
			Kind: moved.Typo, To: "github.com/sirupsen/logrus", Version: "", Mend: moved.UpdatePath,
		},
	}
}

func lostAndNothing() []Lost {
	return []Lost{
		{
			Name: "nothing-like-it", Story: "a name of its own, that nobody has",
			Asked: "github.com/acme-weather/forecast@v1.0.0",
		},
		{
			Name: "nothing-near-known", Story: "near a well-known name, but a word of its own",
			Asked: "github.com/sirupsen/logger@v1.0.0", Has: []string{"github.com/sirupsen/logrus v1.9.3"},
		},
		{
			Name: "nothing-same-name", Story: "somebody's own cobra",
			Asked: "github.com/acme-weather/cobra@v1.0.0", Has: []string{"github.com/spf13/cobra v1.8.0"},
		},
		{
			Name: "nothing-lookalike-exists", Story: "a stranger published a name that is one letter away; nobody here has used it",
			Asked: "github.com/quietriver/lantern@v1.0.0", Has: []string{"github.com/quietriver/lantem v1.0.0", "github.com/quietrivers/lantern v1.0.0"},
		},
		{
			Name: "nothing-moved-in-name-only", Story: "the host leads on, but the module still calls itself by the old path",
			Asked: "github.com/oldharbor/keel@v1.0.0", Has: []string{"github.com/newharbor/keel v1.0.0"},
			Mods:  map[string]string{"github.com/newharbor/keel@v1.0.0": "module github.com/oldharbor/keel\n\ngo 1.20\n"},
			Hosts: map[string]string{"github.com/oldharbor/keel": "301 https://github.com/newharbor/keel"},
		},
		{
			Name: "nothing-no-such-package", Story: "the module is there, the directory is not in it",
			Asked: "github.com/harborline/cargo/winch@v1.2.3", Has: []string{"github.com/harborline/cargo v1.2.3 crane"},
		},
		{
			Name: "nothing-refused", Story: "the registry refuses everything: it says nothing of the name",
			Asked: "github.com/harborline/cargo@v1.2.3", Refuses: 403,
		},
		{
			Name: "nothing-all-is-well", Story: "the module and the version are there; what failed lies elsewhere",
			Asked: "github.com/harborline/cargo@v1.2.3", Has: []string{"github.com/harborline/cargo v1.2.3"},
		},
		{
			Name: "nothing-sign-in", Story: "the host leads whoever it does not know to its sign-in page",
			Asked: "gitlab.com/acme-weather/forecast@v1.0.0",
			Hosts: map[string]string{"gitlab.com/acme-weather/forecast": "302 https://gitlab.com/users/sign_in"},
		},
	}
}

func lostPackages() []Lost {
	return []Lost{
		{
			Name: "npm-typo", Story: "lodash, swapped",
			Asked: "npm:lodahs@4.17.21", Packages: map[string]string{"lodash": "4.17.20,4.17.21"},
			Kind: moved.Typo, To: "lodash", Version: "4.17.21", Mend: moved.UpdatePath,
		},
		{
			Name: "npm-case", Story: "Express with a capital",
			Asked: "npm:Express@4.18.2", Packages: map[string]string{"express": "4.18.1,4.18.2"},
			Kind: moved.Case, To: "express", Version: "4.18.2", Mend: moved.UpdatePath,
		},
		{
			Name: "npm-scope", Story: "the scope flattened",
			Asked: "npm:types-node@20.1.0", Packages: map[string]string{"@types/node": "20.1.0,20.2.0"},
			Kind: moved.Typo, To: "@types/node", Version: "20.1.0", Mend: moved.UpdatePath,
		},
		{
			Name: "npm-version", Story: "a version that is none",
			Asked: "npm:lodash@4.17.99", Packages: map[string]string{"lodash": "4.17.20,4.17.21"},
			Kind: moved.Version, To: "lodash", Version: "4.17.21", Mend: moved.UpdateVersion,
		},
		{
			Name: "npm-deprecated", Story: "the deprecation names the new scope",
			Asked: "npm:harbor-core@7.0.1", Packages: map[string]string{"harbor-core": "6.26.3,7.0.0 deprecated: This package has been renamed, please use @harbor/core instead.", "@harbor/core": "7.0.0,7.0.1"},
			Kind: moved.Deprecated, To: "@harbor/core", Version: "7.0.1", Mend: moved.UpdatePath,
		},
		{
			Name: "npm-renamed", Story: "vue-cli, which became scoped",
			Asked: "npm:vue-cli@5.0.8", Packages: map[string]string{"@vue/cli": "5.0.8"},
			Kind: moved.Renamed, To: "@vue/cli", Version: "5.0.8", Mend: moved.UpdatePath,
		},
		{
			Name: "npm-other-registry", Story: "the lock file has it from another registry than the one in force",
			Asked: "npm:harbor-ui@1.0.0", Second: map[string]string{"harbor-ui": "1.0.0"},
			Files: map[string]string{"package-lock.json": "{\"name\":\"app\",\"lockfileVersion\":3,\"packages\":{\"\":{\"name\":\"app\"},\"node_modules/harbor-ui\":{\"version\":\"1.0.0\",\"resolved\":\"https://npm.example.com/harbor-ui/-/harbor-ui-1.0.0.tgz\"}}}\n"},
			Kind:  moved.Registry, To: "harbor-ui", Version: "1.0.0", Mend: moved.UseRegistry,
		},
		{
			Name: "npm-private-scope", Story: "a scope with a registry of its own",
			Asked: "npm:@acme/ui@1.0.0", Files: map[string]string{".npmrc": "@acme:registry=https://npm.acme.internal/\n"}, Silent: true,
		},
		{
			Name: "npm-nothing", Story: "a name of its own",
			Asked: "npm:harbor-crane-dashboard@1.0.0",
		},
		{
			Name: "pip-typo", Story: "requests, swapped",
			Asked: "pypi:reqeusts==2.31.0", Packages: map[string]string{"requests": "2.30.0,2.31.0"},
			Kind: moved.Typo, To: "requests", Version: "2.31.0", Mend: moved.UpdatePath,
		},
		{
			Name: "pip-import-name", Story: "sklearn is what is imported",
			Asked: "pypi:sklearn", Packages: map[string]string{"scikit-learn": "1.3.0,1.4.0"},
			Kind: moved.Renamed, To: "scikit-learn", Version: "1.4.0", Mend: moved.UpdatePath,
		},
		{
			Name: "pip-version", Story: "a version that is none",
			Asked: "pypi:requests==2.99.0", Packages: map[string]string{"requests": "2.30.0,2.31.0"},
			Kind: moved.Version, To: "requests", Version: "2.31.0", Mend: moved.UpdateVersion,
		},
		{
			Name: "pip-other-index", Story: "another file of the project names the index that has it",
			Asked: "pypi:harbor-ml==1.0.0", Second: map[string]string{"harbor-ml": "1.0.0"},
			Files: map[string]string{"requirements-ml.txt": "--extra-index-url https://pypi.example.com/simple\nharbor-ml==1.0.0\n"},
			Kind:  moved.Registry, To: "harbor-ml", Version: "1.0.0", Mend: moved.UseRegistry,
		},
		{
			Name: "pip-normal-form", Story: "Flask_Login and flask-login are one",
			Asked: "pypi:Flask_Login==0.6.3", Packages: map[string]string{"flask-login": "0.6.3"},
		},
		{
			Name: "pip-nothing", Story: "a name of its own",
			Asked: "pypi:harbor-crane-dashboard==1.0.0",
		},
	}
}

// lostUnseen were written after the others and the search for them, from what people
// tell, and have stayed as they were.
func lostUnseen() []Lost {
	return []Lost{
		{
			Name: "unseen-hyphen", Story: "the Prometheus client with a hyphen, as its own repositories mostly have one",
			Asked: "github.com/prometheus/client-golang@v1.19.0", Has: []string{"github.com/prometheus/client_golang v1.18.0,v1.19.0 prometheus"},
			Kind: moved.Typo, To: "github.com/prometheus/client_golang", Version: "v1.19.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "unseen-golang-on-github", Story: "somebody looked for x/crypto on GitHub, below golang",
			Asked: "github.com/golang/x/crypto@v0.17.0", Has: []string{"golang.org/x/crypto v0.16.0,v0.17.0"},
			Kind: moved.Typo, To: "golang.org/x/crypto", Version: "v0.17.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "unseen-crypto", Story: "x/cypto",
			Asked: "golang.org/x/cypto", Has: []string{"golang.org/x/crypto v0.16.0,v0.17.0"},
			Kind: moved.Typo, To: "golang.org/x/crypto", Version: "v0.17.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "unseen-bare-version", Story: "gin@1.9.1, copied from a release page",
			Asked: "github.com/gin-gonic/gin@1.9.1", Has: []string{"github.com/gin-gonic/gin v1.9.0,v1.9.1,v1.10.0"},
			Kind: moved.Version, To: "github.com/gin-gonic/gin", Version: "v1.9.1", Mend: moved.UpdateVersion,
		},
		{
			Name: "unseen-pgx", Story: "pgx 5 without /v5; the old path stops at 3",
			Asked: "github.com/jackc/pgx@v5.5.3", Has: []string{"github.com/jackc/pgx v3.6.2+incompatible", "github.com/jackc/pgx/v4 v4.18.1", "github.com/jackc/pgx/v5 v5.5.0,v5.5.3"},
			Kind: moved.Major, To: "github.com/jackc/pgx/v5", Version: "v5.5.3", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "unseen-gitlab-group", Story: "a group of GitLab was renamed",
			Asked: "gitlab.com/oldgroup/pump@v0.9.0", Has: []string{"gitlab.com/newgroup/pump v0.8.0,v0.9.0"},
			Hosts: map[string]string{"gitlab.com/oldgroup/pump": "302 https://gitlab.com/newgroup/pump"},
			Kind:  moved.Renamed, To: "gitlab.com/newgroup/pump", Version: "v0.9.0", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "unseen-wishful", Story: "logrus 1.10, which was never released",
			Asked: "github.com/sirupsen/logrus@v1.10.0", Has: []string{"github.com/sirupsen/logrus v1.9.0,v1.9.2,v1.9.3"},
			Kind: moved.Version, To: "github.com/sirupsen/logrus", Version: "v1.9.3", Mend: moved.UpdateVersion, Builds: true,
		},
		{
			Name: "unseen-blank-import", Story: "viper/remote is imported for its effect, and was put into go.mod by hand",
			Asked: "github.com/spf13/viper/remote@v1.18.2", Has: []string{"github.com/spf13/viper v1.18.1,v1.18.2 remote"},
			Kind: moved.Nested, To: "github.com/spf13/viper", Version: "v1.18.2", Mend: moved.GetOther, Builds: true,
		},
		{
			Name: "unseen-yaml-4", Story: "if there are yaml.v2 and yaml.v3, there will be a v4",
			Asked: "gopkg.in/yaml.v4@v4.0.0", Has: []string{"gopkg.in/yaml.v2 v2.4.0", "gopkg.in/yaml.v3 v3.0.0,v3.0.1"},
			Kind: moved.Major, To: "gopkg.in/yaml.v3", Version: "v3.0.1", Mend: moved.UpdatePath, Builds: true,
		},
		{
			Name: "unseen-commit", Story: "a commit from a colleague's branch that was squashed",
			Asked: "github.com/harborline/cargo@0123456789ab", Has: []string{"github.com/harborline/cargo v1.2.0,v1.3.0"},
			Kind: moved.Version, To: "github.com/harborline/cargo", Version: "v1.3.0", Mend: moved.UpdateVersion,
		},
		{
			Name: "unseen-private-wildcard", Story: "a pattern with a star covers the company's hosts",
			Asked: "code.corp.example.com/infra/kit@v1.0.0", Env: []string{"GOPRIVATE", "*.corp.example.com"}, Silent: true,
		},
		{
			Name: "unseen-own-domain", Story: "a tool of one's own, whose page has no go-import tag yet",
			Asked: "harborline.dev/mytool@v1.0.0", Hosts: map[string]string{"harborline.dev/mytool": "200"},
		},
		{
			Name: "unseen-npm", Story: "a letter short",
			Asked: "npm:expres@4.18.2", Packages: map[string]string{"express": "4.18.1,4.18.2"},
			Kind: moved.Typo, To: "express", Version: "4.18.2", Mend: moved.UpdatePath,
		},
		{
			Name: "unseen-pip", Story: "an underscore and a letter",
			Asked: "pypi:scikit_lern==1.4.0", Packages: map[string]string{"scikit-learn": "1.3.0,1.4.0"},
			Kind: moved.Typo, To: "scikit-learn", Version: "1.4.0", Mend: moved.UpdatePath,
		},
	}
}
