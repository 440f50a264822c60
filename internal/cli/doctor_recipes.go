package cli

import (
	"slices"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/msg"
)

// recipePlace is where the recipes stand among the remedies: of a long list only the
// first ones are shown.
const recipePlace = 2

// addRecipes adds to faults of logins the way to the recipes for CI and Docker builds,
// where one of these is at hand: what mends a laptop leaves a token behind there.
func addRecipes(findings []keepwell.Finding, c *doctor.Case, lang msg.Lang) {
	place := recipesFor(c)
	for i := range findings {
		f := &findings[i]
		if place == "" || f.Code.Family() != "auth" {
			continue
		}
		f.Remedies = slices.DeleteFunc(slices.Clone(f.Remedies), func(m keepwell.Remedy) bool { return m.ID == "ci-recipes" })
		f.Remedies = slices.Insert(f.Remedies, min(recipePlace, len(f.Remedies)), keepwell.Remedy{
			ID: "ci-recipes", Title: msg.Text(lang, "doctor.recipes", place), Safety: keepwell.SafetyManual,
		})
	}
}

// recipesFor is what is at hand: a variable of CI, or a Dockerfile that runs go; "" for
// neither.
func recipesFor(c *doctor.Case) string {
	for _, name := range []string{"GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "CI"} {
		if v := c.Settings.OS[name]; v != "" && v != "false" && v != "0" {
			return name
		}
	}
	if files := c.Settings.Project.Dockerfiles; len(files) > 0 {
		return files[0]
	}
	return ""
}
