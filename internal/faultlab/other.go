//go:build unix

package faultlab

import "context"

// otherScenarios fail for reasons that are no dependency fault, in texts that
// look like one: explain must stay silent.
func otherScenarios() []Scenario {
	return []Scenario{
		{Name: "go-compile-error", Code: "none/other", Tool: "go", Example: true, Run: goCompileError},
		{Name: "go-vet-error", Code: "none/other", Tool: "go", Run: goUnused},
		{Name: "git-not-a-repository", Code: "none/other", Tool: "git", Run: gitNoRepository},
	}
}

// goCompileError is the project's own mistake, next to a module path.
func goCompileError(ctx context.Context, l *Lab) string {
	l.app()
	l.proxyWith()
	l.trust(widget())
	l.Files("app.go", "package app\n\nimport \"example.com/widget\"\n\n// 404 stands for not found.\nvar status int = \"404 Not Found\"\n\nvar W = widget.Missing\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goUnused(ctx context.Context, l *Lab) string {
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n", "app.go", "package app\n\nfunc f() {\n\tproxy := \"forbidden\"\n}\n")
	return l.Run(ctx, "go", "build", "./...")
}

func gitNoRepository(ctx context.Context, l *Lab) string {
	l.Set("GIT_CEILING_DIRECTORIES", l.Dir)
	return l.Run(ctx, "git", "log")
}
