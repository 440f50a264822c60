package condition

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/keepwell/keepwell"
)

// rank is a priority inside an expression: ordered so that the more severe is the
// greater, as in "above P1".
type rank keepwell.Priority

var (
	priorityType  = cel.ObjectType("Priority", traits.ComparerType)
	priorityTypes = []*cel.Type{priorityType, priorityType}
)

// Compare implements [traits.Comparer].
func (r rank) Compare(other ref.Val) ref.Val {
	o, ok := priorityOf(other)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	switch p := keepwell.Priority(r); {
	case p.Above(o):
		return types.IntOne
	case o.Above(p):
		return types.IntNegOne
	}
	return types.IntZero
}

// ConvertToNative implements [ref.Val].
func (r rank) ConvertToNative(t reflect.Type) (any, error) {
	if t.Kind() == reflect.String {
		return reflect.ValueOf(string(r)).Convert(t).Interface(), nil
	}
	return nil, fmt.Errorf("a priority is no %v", t)
}

// ConvertToType implements [ref.Val].
func (r rank) ConvertToType(t ref.Type) ref.Val {
	switch t.TypeName() {
	case types.StringType.TypeName():
		return types.String(r)
	case types.TypeType.TypeName():
		return priorityType
	}
	return types.NewErr("a priority cannot become %s", t.TypeName())
}

// Equal implements [ref.Val].
func (r rank) Equal(other ref.Val) ref.Val {
	o, ok := priorityOf(other)
	return types.Bool(ok && o == keepwell.Priority(r))
}

// Type implements [ref.Val].
func (rank) Type() ref.Type { return priorityType }

// Value implements [ref.Val].
func (r rank) Value() any { return keepwell.Priority(r) }

// priorities declares the type, its five values and its order.
func priorities() []cel.EnvOption {
	opts := []cel.EnvOption{
		cel.Function("string", cel.Overload("priority_to_string", []*cel.Type{priorityType}, cel.StringType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return v.ConvertToType(types.StringType) }))),
	}
	for name, id := range map[string]string{
		operators.Greater: "greater_priority", operators.GreaterEquals: "greater_equals_priority",
		operators.Less: "less_priority", operators.LessEquals: "less_equals_priority",
	} {
		// No binding of our own: the standard one asks Compare.
		opts = append(opts, cel.Function(name, cel.Overload(id, priorityTypes, cel.BoolType)))
	}
	for _, p := range keepwell.Priorities() {
		opts = append(opts, cel.Constant(string(p), priorityType, rank(p)))
	}
	return opts
}
