package fencemodel

import "github.com/comptech-lab/redis-wal/applier/internal/plan"

// Rules is a set of rules: the planner's in the lower half, the operators' and the check's in the upper.
type Rules uint32

const (
	withoutSeal          Rules = 1 << 16 << iota // a planned cutover seals the old stream first
	withoutWaiting                               // and waits until both sites have counted the seal alike
	withoutMayOpen                               // and does not activate a site whose own stream is sealed
	withoutOneDirection                          // a planned activate does not open again what was sealed
	withoutGeneration                            // a takeover raises the generation
	withoutOwnEpoch                              // a failback begins an epoch of its own
	withoutBothInEpoch                           // and goes on when both sites are in it
	withoutSecondLook                            // a key that was written meanwhile is repaired again
	withoutActiveBarrier                         // only a barrier of the active site tells
)

func (r Rules) has(one Rules) bool { return r&one != 0 }

func (r Rules) plan() plan.Rule { return plan.Rule(r & 0xffff) }

// Counterexample is a rule and what happens without it.
type Counterexample struct {
	Rule   string // what it is called here
	Says   string
	Setup  Setup // the smallest that was found
	Breaks Promise
	Note   string
	Long   bool // the search takes more than a second
}

// Counterexamples are the rules of the fence in the order of a reader's questions, each with a search that ends badly without it.
func Counterexamples() []Counterexample {
	setup := func(begin Begin, operators string, b Bounds, without Rules) Setup {
		return Setup{Begin: begin, Operators: operators, Bounds: b, Without: without}
	}
	of := func(r plan.Rule) Rules { return Rules(r) }
	return []Counterexample{
		{
			Rule: "own stream", Says: "An activate counts only in the own stream of the site that it activates.",
			Setup: setup(WithWriter, "cutover", Bounds{Writes: 1}, of(plan.OwnStream)), Breaks: SameWithoutTakeover,
			Note: "As one record in the stream that was open it would hand over without a seal, but it cuts the new writer's stream at another place at each site.",
		},
		{
			Rule: "order", Says: "Epochs are ordered by generation, minor and site: of two that begin at once the same one wins everywhere.",
			Setup: setup(WithWriter, "takeover dr, takeover dc", Bounds{}, of(plan.SiteOrder)), Breaks: OneBelief,
		},
		{
			Rule: "generation", Says: "A takeover raises the generation, everything planned the minor only.",
			Setup: setup(WithWriter, "cutover, takeover dc", Bounds{}, withoutGeneration), Breaks: TakeoverStands,
		},
		{
			Rule: "seal", Says: "A planned cutover closes the old stream before it opens the new one.",
			Setup: setup(WithWriter, "cutover", Bounds{Writes: 1}, withoutSeal), Breaks: SameWithoutTakeover,
		},
		{
			Rule: "seal attested", Says: "The new stream is opened when both sites have attested that seal as counted, with the same epoch, root, n and h.",
			Setup: setup(WithWriter, "cutover", Bounds{Writes: 1}, withoutWaiting), Breaks: SameWithoutTakeover,
		},
		{
			Rule: "one direction", Says: "While a stream is sealed, a planned activate opens the other one. Who wants it back ends that cutover first, and then cuts over again.",
			Setup: setup(WithWriter, "cutover, back", Bounds{Writes: 1}, withoutOneDirection), Breaks: SameWithoutTakeover,
		},
		{
			Rule: "seal of one stream", Says: "Before the first epoch a seal closes the stream in which it stands, and not the other.",
			Setup: setup(Open, "first dc", Bounds{Writes: 1}, of(plan.SealOneStream)), Breaks: SameWithoutTakeover,
			Note: "A seal that closes both cuts the other stream wherever each site happens to be.",
		},
		{
			Rule: "seal before the first", Says: "To one writer from two open streams, the other's stream is sealed first, even if the log is empty.",
			Setup: setup(Open, "first dc", Bounds{Writes: 1}, withoutSeal), Breaks: SameWithoutTakeover,
			Note: "An activate alone is a takeover in effect: what a client still writes at the other site is executed there and nowhere else.",
		},
		{
			Rule: "one mover", Says: "Before the first epoch, a site is not activated if it attests, at the seal of the other stream, that its own is sealed too.",
			Setup: setup(Open, "first dc, first dr", Bounds{Writes: 1}, withoutMayOpen), Breaks: SameWithoutTakeover,
			Note: "Two operators at once want two different first writers. Both may stop: then both streams are sealed and equal, and a takeover loses nothing.",
		},
		{
			Rule: "root", Says: "What was counted in a closed epoch lives on in the root.",
			Setup: setup(WithWriter, "takeover dr", Bounds{Writes: 1}, of(plan.RootCarried)), Breaks: ConvergedIsEqual,
		},
		{
			Rule: "verdict of the active", Says: "Only a barrier of a stream that is open in the same epoch at both sites gives a verdict.",
			Setup: setup(WithWriter, "barrier dr", Bounds{Writes: 1}, withoutActiveBarrier), Breaks: NoFalseAlarm,
		},
		{
			Rule: "barrier once", Says: "Of a barrier that comes again the first attestation holds.",
			Setup: setup(WithWriter, "barrier dc", Bounds{Writes: 1, Rewinds: 1}, of(plan.BarrierOnce)), Breaks: NoFalseAlarm,
		},
		{
			Rule: "seen per stream", Says: "Whether a record is a repeat within its stream is asked of that stream alone.",
			Setup: setup(WithWriter, "", Bounds{Writes: 1, Resends: 1}, of(plan.SeenPerStream)), Breaks: SameWithoutTakeover,
		},
		{
			Rule: "fenced is seen", Says: "A fenced record is seen: a repeat of it is decided at both sites as the first one was.",
			Setup: setup(WithTail, "takeover dc, failback after 1", Bounds{Writes: 1, Resends: 1}, of(plan.FencedIsSeen)), Breaks: ConvergedIsEqual,
		},
		{
			Rule: "fenced is not applied", Says: "A fenced record is not known as executed: the other stream may bring it still.",
			Setup: setup(WithWriter, "", Bounds{Writes: 1, Resends: 1}, of(plan.FencedNotApplied)), Breaks: SameWithoutTakeover,
		},
		{
			Rule: "applied in both", Says: "What was executed is known of both streams, and is executed once.",
			Setup: setup(WithWriter, "cutover", Bounds{Writes: 1, Resends: 1}, of(plan.AppliedInBoth)), Breaks: ExactlyOnce,
		},
		{
			Rule: "both in the epoch", Says: "A failback goes on only if both sites attest its own activate.",
			Setup: setup(WithWriter, "takeover dr, failback after 1, takeover dc", Bounds{}, withoutBothInEpoch), Breaks: ConvergedIsEqual,
		},
		{
			Rule: "own epoch", Says: "A failback begins with an activate of its own.",
			Setup: setup(WithTail, "failback, failback", Bounds{Writes: 2}, withoutOwnEpoch), Breaks: ConvergedIsEqual, Long: true,
			Note: "Else a second failback repairs the key and settles, and then comes the first one's repair, of what it had read before.",
		},
		{
			Rule: "under the activate", Says: "Replay, resolve and repair count only under the activate of their failback.",
			Setup: setup(WithTail, "failback, failback", Bounds{Writes: 2}, of(plan.UnderActivate)), Breaks: ConvergedIsEqual, Long: true,
			Note: "Else a failback that was overtaken and has not heard of it does the same.",
		},
		{
			Rule: "replay of the original", Says: "A replay is executed unless its original was.",
			Setup: setup(WithTail, "failback", Bounds{Writes: 1}, of(plan.ReplayOfOriginal)), Breaks: ExactlyOnce,
		},
		{
			Rule: "resolve is applied", Says: "A record of the tail that is dropped is known as executed at both sites: a late repeat is decided alike.",
			Setup: setup(WithTail, "failback", Bounds{Writes: 1, Resends: 1}, of(plan.ResolveIsApplied)), Breaks: ConvergedIsEqual,
		},
		{
			Rule: "repair elsewhere", Says: "A repair does nothing at the site whose value it carries.",
			Setup: setup(WithTail, "failback", Bounds{Writes: 2}, of(plan.RepairElsewhere)), Breaks: NoLostUpdate,
		},
		{
			Rule: "second look", Says: "If a record on the key stands between the position at which it was read and its repair, the key is repaired again.",
			Setup: setup(WithTail, "failback", Bounds{Writes: 2}, withoutSecondLook), Breaks: ConvergedIsEqual,
		},
		{
			Rule: "settled roots", Says: "An activate settles the two roots that it names, and no other.",
			Setup: setup(WithWriter, "takeover dr, failback after 1", Bounds{Writes: 1}, of(plan.SettledRoots)|withoutBothInEpoch), Breaks: ConvergedIsEqual,
			Note: "It stands behind \"both in the epoch\", which is taken away here too: as long as that one holds, no search has found a difference.",
		},
	}
}

// Searches are what is searched with all rules on. Small ones end in a second each.
func Searches(small bool) []Setup {
	var out []Setup
	add := func(begin Begin, operators string, b Bounds) {
		out = append(out, Setup{Begin: begin, Operators: operators, Bounds: b})
	}
	if small {
		add(Open, "", Bounds{Writes: 3, Resends: 1})
		add(Open, "barrier dc, barrier dr", Bounds{Writes: 2})
		add(Open, "first dc", Bounds{Writes: 2, Resends: 1})
		add(Open, "first dc", Bounds{Writes: 1, Rewinds: 1, Repeats: 1})
		add(Open, "first dc, first dr", Bounds{Writes: 2})
		add(Open, "first dc, takeover dr", Bounds{Writes: 2})
		add(Open, "first dc, cutover after 1", Bounds{Writes: 2})
		add(Open, "takeover dr, failback after 1", Bounds{Writes: 2})
		add(WithWriter, "cutover", Bounds{Writes: 2, Resends: 1})
		add(WithWriter, "cutover", Bounds{Writes: 1, Rewinds: 1, Repeats: 1})
		add(WithWriter, "cutover, cutover", Bounds{Writes: 1})
		add(WithWriter, "cutover, back", Bounds{Writes: 2})
		add(WithWriter, "takeover dr, takeover dc", Bounds{Writes: 2})
		add(WithWriter, "takeover dr, failback after 1", Bounds{Writes: 2})
		add(WithWriter, "takeover dr, failback after 1", Bounds{Writes: 2, Keys: 2})
		add(WithWriter, "reclaim dr, failback after 1", Bounds{Writes: 2})
		add(WithWriter, "cutover, takeover dr, barrier dc", Bounds{Writes: 1})
		add(WithTail, "failback", Bounds{Writes: 1, Resends: 1})
		add(WithTail, "failback", Bounds{Writes: 1, Rewinds: 1})
		add(WithTail, "failback", Bounds{Writes: 1, Repeats: 1})
		add(WithTail, "failback, takeover dc", Bounds{Writes: 1})
		return out
	}
	add(Open, "", Bounds{Writes: 4, Resends: 2})
	add(Open, "first dc", Bounds{Writes: 3, Resends: 1, Rewinds: 1})
	add(Open, "first dc", Bounds{Writes: 2, Resends: 1, Rewinds: 1, Repeats: 1})
	add(Open, "first dc, first dr", Bounds{Writes: 3, Resends: 1})
	add(Open, "first dc, first dr, takeover dc", Bounds{Writes: 2})
	add(Open, "first dc, takeover dr", Bounds{Writes: 3, Resends: 1})
	add(Open, "first dc, cutover after 1, cutover after 2", Bounds{Writes: 3})
	add(Open, "first dc, barrier dc, barrier dr", Bounds{Writes: 2, Rewinds: 1})
	add(Open, "takeover dr, takeover dc", Bounds{Writes: 3, Resends: 1})
	add(Open, "takeover dr, failback after 1", Bounds{Writes: 2, Resends: 1})
	add(Open, "first dc, takeover dr after 1, failback after 2", Bounds{Writes: 2})
	add(WithWriter, "cutover", Bounds{Writes: 4, Rewinds: 1})
	add(WithWriter, "cutover", Bounds{Writes: 2, Resends: 1, Rewinds: 1, Repeats: 1})
	add(WithWriter, "cutover, cutover", Bounds{Writes: 3, Resends: 1})
	add(WithWriter, "cutover, back", Bounds{Writes: 3, Resends: 1})
	add(WithWriter, "cutover, cutover after 1", Bounds{Writes: 3, Rewinds: 1})
	add(WithWriter, "takeover dr, takeover dc", Bounds{Writes: 4, Resends: 1})
	add(WithWriter, "takeover dr, takeover dc, takeover dr", Bounds{Writes: 3, Resends: 1})
	add(WithWriter, "cutover, takeover dr, barrier dc, barrier dr", Bounds{Writes: 3})
	add(WithWriter, "takeover dr, failback after 1", Bounds{Writes: 3, Resends: 1})
	add(WithWriter, "takeover dr, failback after 1", Bounds{Writes: 3, Keys: 2})
	add(WithWriter, "takeover dr, failback after 1", Bounds{Writes: 2, Rewinds: 1})
	add(WithWriter, "takeover dr, failback after 1, takeover dc", Bounds{Writes: 2, Resends: 1})
	add(WithWriter, "takeover dr, takeover dc, failback after 2", Bounds{Writes: 2, Resends: 1})
	add(WithWriter, "takeover dr, failback after 1, cutover after 2", Bounds{Writes: 2, Resends: 1})
	add(WithWriter, "takeover dr, failback after 1, takeover dc, failback after 3", Bounds{Writes: 2})
	add(WithWriter, "reclaim dr, failback after 1", Bounds{Writes: 3, Resends: 1})
	add(WithWriter, "reclaim dr, takeover dc, failback after 2", Bounds{Writes: 2})
	add(Open, "reclaim dr, reclaim dc, failback", Bounds{Writes: 2})
	add(WithTail, "failback", Bounds{Writes: 2, Rewinds: 1})
	add(WithTail, "failback", Bounds{Writes: 1, Rewinds: 2})
	add(WithTail, "failback", Bounds{Writes: 2, Rewinds: 2})
	add(WithTail, "failback", Bounds{Writes: 1, Resends: 1, Rewinds: 1})
	add(WithTail, "failback", Bounds{Writes: 2, Resends: 1, Rewinds: 1, Repeats: 1})
	add(WithTail, "failback, failback", Bounds{Writes: 1})
	add(WithTail, "failback, failback", Bounds{Writes: 2})
	add(WithTail, "failback, takeover dc, failback after 2", Bounds{Writes: 1})
	add(WithTail, "failback, takeover dc", Bounds{Writes: 2, Rewinds: 1})
	return out
}
