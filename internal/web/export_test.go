package web

// StateWords are the values whose words pages look up.
var StateWords = stateWords

// ProblemKey is the key of the words for an error.
func ProblemKey(err error) string { return problemOf(err).Key }

// Route is a page or a form, and who may have it; "": everybody.
type Route struct{ Pattern, Role string }

// Routes are all of them.
func Routes() (all []Route) {
	for _, r := range routes() {
		all = append(all, Route{r.pattern, string(r.role)})
	}
	return all
}
