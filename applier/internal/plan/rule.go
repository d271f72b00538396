package plan

// Rule is a rule of the fence, or several. They are all on: only the model (package fencemodel) takes one away, to show what it is for.
type Rule uint16

// The rules that a planner can be made without.
const (
	OwnStream        Rule = 1 << iota // an activate counts only in the own stream of the site that it activates
	SiteOrder                         // epochs that are equal otherwise are ordered by their sites
	SealOneStream                     // a seal before the first epoch closes the stream in which it stands, and not both
	RootCarried                       // what was counted in a closed epoch lives on in the root
	SeenPerStream                     // what a stream has brought is known of that stream alone
	FencedIsSeen                      // a fenced record is known to its stream
	FencedNotApplied                  // a fenced record is not known as executed
	AppliedInBoth                     // what was executed is known of both streams
	RepairElsewhere                   // a repair is executed at the other site, and not where it comes from
	ReplayOfOriginal                  // a replay is executed unless the record was that it repeats
	ResolveIsApplied                  // a resolved record is known as executed
	UnderActivate                     // replay, resolve and repair count under the activate that they name
	SettledRoots                      // an activate settles the two roots that it names, and no other
	SettledEpoch                      // and it does so in the epoch of the activate that it names
	BarrierOnce                       // a barrier is decided once
)

// without reports whether a rule was taken away.
func (p *Planner) without(r Rule) bool { return p.rules.Without&r != 0 }
