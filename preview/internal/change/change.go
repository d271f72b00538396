// Package change reads what `pulumi preview --json` prints: which objects of a cluster would change, in which fields, and whether data would be lost.
package change

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Op is what would be done to an object.
type Op string

// The operations, those first that a reviewer has to see first.
const (
	Replaced  Op = "replaced" // deleted and made anew
	Deleted   Op = "deleted"
	Forgotten Op = "forgotten" // the stack lets go of it; it stays in the cluster
	Changed   Op = "changed"
	Created   Op = "created"
)

// Ops are all operations in the order in which they are shown.
var Ops = []Op{Replaced, Deleted, Forgotten, Changed, Created}

// Preview is what a stack's program would do.
type Preview struct {
	// Changes are ordered by operation, kind, namespace and name.
	Changes []Change
	// Same is how many resources stay as they are, components among them.
	Same int
	// Incomplete says that the preview failed: Changes is what it had got to by then, which is another time perhaps more.
	Incomplete bool
	// Errors are why, in order, each once. That a protected object would be deleted is none: it is among the Changes.
	Errors []string
}

// Change is one object that would change.
type Change struct {
	Op Op
	// Kind, Namespace and Name are those of the object. The namespace is empty for objects without.
	Kind, Namespace, Name string
	// Holds says what kind of data lives or dies with the object; empty = none.
	Holds Data
	// Protected says that the program had it protected, or kept beyond the stack.
	Protected bool
	// Fields are what differs, of changed and replaced objects, in the order of their paths.
	Fields []Field
}

// Data is a kind of data.
type Data string

// The kinds of data.
const (
	Database Data = "database"
	Topic    Data = "topic"
)

// holds knows the kinds of objects that data live and die with.
func holds(kind string) Data {
	switch kind {
	case "RedisFailover", "PersistentVolumeClaim", "StorageClass", "Namespace":
		return Database
	case "KafkaTopic":
		return Topic
	}
	return ""
}

// String is kind, namespace and name.
func (c Change) String() string {
	if c.Namespace == "" {
		return c.Kind + " " + c.Name
	}
	return c.Kind + " " + c.Namespace + "/" + c.Name
}

// Loses reports whether the change destroys data, or lets go of what nobody would then look after. A protected object counts, whatever its kind.
func (c Change) Loses() bool {
	return (c.Op == Replaced || c.Op == Deleted || c.Op == Forgotten) && (c.Holds != "" || c.Protected)
}

// Losses are the changes that destroy data.
func (p Preview) Losses() []Change {
	var out []Change
	for _, c := range p.Changes {
		if c.Loses() {
			out = append(out, c)
		}
	}
	return out
}

// Count is how many objects an operation concerns.
func (p Preview) Count(op Op) int {
	n := 0
	for _, c := range p.Changes {
		if c.Op == op {
			n++
		}
	}
	return n
}

// digest is what the CLI prints, as far as it is needed.
type digest struct {
	Steps         []step         `json:"steps"`
	ChangeSummary map[string]int `json:"changeSummary"`
	// Diagnostics are messages of the engine and the program.
	Diagnostics []struct {
		Message  string `json:"message"`
		Severity string `json:"severity"`
	} `json:"diagnostics"`
}

type step struct {
	Op           string         `json:"op"`
	URN          string         `json:"urn"`
	Old          *state         `json:"oldState"`
	New          *state         `json:"newState"`
	DetailedDiff map[string]any `json:"detailedDiff"`
}

type state struct {
	Type           string         `json:"type"`
	Custom         bool           `json:"custom"`
	Inputs         map[string]any `json:"inputs"`
	Protect        bool           `json:"protect"`
	RetainOnDelete bool           `json:"retainOnDelete"`
}

// Read reads one preview. Text before the JSON, which the CLI may print, is passed over. It is an error if there is none: the CLI could not even begin.
func Read(in io.Reader) (Preview, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return Preview{}, err
	}
	var d digest
	begin := strings.Index("\n"+string(text), "\n{")
	if begin < 0 {
		return Preview{}, fmt.Errorf("no preview in JSON, but %.200q", text)
	}
	if err := json.Unmarshal(text[begin:], &d); err != nil {
		return Preview{}, fmt.Errorf("the preview's JSON cannot be read: %w", err)
	}
	p := Preview{Same: d.ChangeSummary["same"]}
	for _, s := range d.Steps {
		if err := p.add(s); err != nil {
			return Preview{}, err
		}
	}
	for _, m := range d.Diagnostics {
		if m.Severity != "error" {
			continue
		}
		p.Incomplete = true
		text := strings.TrimPrefix(strings.TrimSpace(m.Message), "error: ")
		if text != "preview failed" && !isProtected.MatchString(text) {
			p.Errors = append(p.Errors, strings.TrimPrefix(text, "Preview failed: "))
		}
	}
	slices.Sort(p.Errors)
	p.Errors = slices.Compact(p.Errors)
	slices.SortFunc(p.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(slices.Index(Ops, a.Op), slices.Index(Ops, b.Op)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return p, nil
}

// isProtected is what the engine says of a protected object that would be deleted. It goes on with how to unprotect it, which is no advice for a review.
var isProtected = regexp.MustCompile(`^(Preview failed: )?resource "[^"]+" cannot be (deleted|replaced)\s+because it is protected`)

// add takes what a step says of an object. Components are no objects: their children are.
func (p *Preview) add(s step) error {
	st := s.New
	if st == nil {
		st = s.Old
	}
	if st == nil || !st.Custom {
		return nil
	}
	c := Change{}
	switch s.Op {
	case "same", "read", "refresh":
		return nil
	case "create":
		c.Op = Created
	case "update":
		c.Op = Changed
	case "replace", "import-replacement":
		c.Op = Replaced
	case "create-replacement", "delete-replaced", "discard-replaced", "remove-pending-replace", "discard", "read-discard", "read-replacement":
		return nil // a part of a replacement
	case "delete":
		if c.Op = Deleted; s.Old != nil && s.Old.RetainOnDelete {
			c.Op = Forgotten
		}
	case "import":
		c.Op = Changed
	default:
		return fmt.Errorf("%s: the preview has a step %q, which is not known here: nobody can say what it does", s.URN, s.Op)
	}
	c.describe(s.URN, st)
	if s.Old != nil {
		c.Protected = c.Protected || s.Old.Protect || s.Old.RetainOnDelete
	}
	if s.Old != nil && s.New != nil {
		c.Fields = fields(s.Old.Inputs, s.New.Inputs, s.DetailedDiff)
	}
	p.Changes = append(p.Changes, c)
	return nil
}

// describe says which object it is: by its manifest, and of what has none, such as a provider, by its type and Pulumi's name.
func (c *Change) describe(urn string, st *state) {
	c.Kind = st.Type[strings.LastIndex(st.Type, ":")+1:]
	c.Name = urn[strings.LastIndex(urn, "::")+2:]
	if strings.HasPrefix(st.Type, "pulumi:providers:") {
		c.Kind, c.Protected = "Provider "+c.Kind, true // without it no object can be reached
		return
	}
	if kind, ok := st.Inputs["kind"].(string); ok {
		c.Kind = kind
	}
	if meta, ok := st.Inputs["metadata"].(map[string]any); ok {
		if name, ok := meta["name"].(string); ok {
			c.Name = name
		}
		c.Namespace, _ = meta["namespace"].(string)
	}
	c.Holds = holds(c.Kind)
}
