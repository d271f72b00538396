package command

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
	"github.com/comptech-lab/redis-wal/writer"
)

// producing is a run of produce.
type producing struct {
	*program
	key, contentType, producer string
	tx, dryRun, yes            bool
	wait                       time.Duration

	out produced
}

// produced is what was done.
type produced struct {
	Version  int                  `json:"v"`
	Log      string               `json:"log"`
	Site     string               `json:"site"`
	Op       describe.Explanation `json:"op"`
	Producer string               `json:"producer"`
	Seq      int64                `json:"seq"`
	Place    *place               `json:"place"` // null: it was not appended, or nobody knows
	Time     int64                `json:"time"`  // of the record, ms since 1970; 0: the same
	Became   []became             `json:"became"`
	Exit     int                  `json:"exit"`
	Error    string               `json:"error"` // empty: none
}

const produceExits = `  0  appended, and both sites have decided it; with --wait 0: appended; with --dry-run: it could be
  1  refused, poison or not wanted, and nothing was written; or appended, and fenced, or Redis refused a command of it
  2  nothing was written: a site does not answer, or usage or configuration is wrong; or appended, and what became of it was not known in time
  3  whether it was appended is not known: run it again as it says`

func (p *program) produceVerb() *cobra.Command {
	w := &producing{program: p}
	c := &cobra.Command{
		Use: "produce [flags] COMMAND ARG... | -", Short: "append one op to the log, so that both sites execute it", Args: cobra.MinimumNArgs(1),
		Long: exits(`Appends a Redis command to the log of the active site (or of --site), as an application would, and waits until both sites have decided it. It is judged before as the appliers
judge it: what they would call poison is not written. Flags stand before the command. With --tx several commands are one op, with ';' between them: they are one transaction, and all their keys
share one routing key. - reads an op as JSON from stdin, {"cmd":[...]} or {"cmds":[[...],...]}; then nobody can be asked, so --yes is needed.

A site that is not the writer would fence the record, so that it would not count: that is refused.`, produceExits),
		Example: "  walctl produce SET orders:42 paid EX 3600\n  walctl produce --tx INCR {o}:n ';' SADD {o}:all 7\n  echo '{\"cmd\":[\"DEL\",\"orders:42\"]}' | walctl produce --yes -",
		RunE: func(c *cobra.Command, args []string) error {
			value, typ, err := w.read(args)
			if err != nil {
				return err
			}
			if w.producer == "" {
				w.producer = "walctl-" + rand.Text()
			}
			return p.one(c.Context(), func(s *sites, at Site) error { return w.finish(w.run(c.Context(), s, at, value, typ)) })
		},
	}
	f := c.Flags()
	f.SetInterspersed(false) // arguments of Redis may look like flags
	f.StringVar(&w.key, "key", "", "the Kafka key: it must be the op's routing key, which it is without this flag")
	f.StringVar(&w.contentType, "content-type", "resp", "how the op is written: json or resp. Of stdin: json, unless this says resp")
	f.BoolVar(&w.tx, "tx", false, "several commands, with ';' between them")
	f.BoolVar(&w.dryRun, "dry-run", false, "say what it would do, and write nothing")
	f.DurationVar(&w.wait, "wait", 10*time.Second, "how long both sites are waited for; 0 = not")
	f.StringVar(&w.producer, "producer", "", "the producer's id of a run of which nobody knows whether it appended: the op is executed once")
	f.BoolVar(&w.yes, "yes", false, "do not ask, append")
	_ = c.RegisterFlagCompletionFunc("content-type", cobra.FixedCompletions([]string{"json", "resp"}, cobra.ShellCompDirectiveNoFileComp)) // it was declared above
	return c
}

// read makes the value of a record.
func (w *producing) read(args []string) (value []byte, typ string, err error) {
	typ, err = contentType(w.contentType, nil)
	if err != nil {
		return nil, "", err
	}
	if w.wait < 0 {
		return nil, "", errors.New("--wait must be at least 0")
	}
	if args[0] == "-" {
		if len(args) > 1 {
			return nil, "", errors.New("- reads the op from stdin: no argument follows it")
		}
		if w.tx {
			return nil, "", errors.New(`--tx is for commands of the command line; several on stdin are {"cmds":[[...],...]}`)
		}
		value, err = io.ReadAll(io.LimitReader(w.Stdin, maxInput))
		if err != nil {
			return nil, "", fmt.Errorf("the op: %w", err)
		}
		return value, wal.ContentTypeJSON, nil
	}
	op := wal.Op{Commands: [][][]byte{{}}}
	for _, a := range args {
		if w.tx && a == ";" {
			op.Commands = append(op.Commands, [][]byte{})
			continue
		}
		last := len(op.Commands) - 1
		op.Commands[last] = append(op.Commands[last], []byte(a))
	}
	op.Commands = slices.DeleteFunc(op.Commands, func(c [][]byte) bool { return len(c) == 0 })
	if len(op.Commands) == 0 {
		return nil, "", errors.New("there is no command")
	}
	if typ == wal.ContentTypeJSON {
		value, err = asJSON(op)
		return value, typ, err
	}
	return op.AppendRESP(nil), "", nil // RESP needs no header
}

// asJSON is an op as a JSON value.
func asJSON(op wal.Op) ([]byte, error) {
	all := make([][]any, len(op.Commands))
	for i, c := range op.Commands {
		for _, arg := range c {
			if utf8.Valid(arg) {
				all[i] = append(all[i], string(arg))
			} else {
				all[i] = append(all[i], map[string]string{"$b64": base64.StdEncoding.EncodeToString(arg)})
			}
		}
	}
	if len(all) == 1 {
		return json.Marshal(map[string]any{"cmd": all[0]})
	}
	return json.Marshal(map[string]any{"cmds": all})
}

func (w *producing) run(ctx context.Context, s *sites, at Site, value []byte, typ string) error {
	id := at.Identity()
	data := reach.Data{Key: []byte(w.key), Value: value, ContentType: typ, Producer: w.producer, Seq: 1}
	if w.key == "" {
		if op, err := wal.DecodeOp(slices.Clone(value), typ); err == nil {
			if key, err := op.RoutingKey(); err == nil {
				data.Key = slices.Clone(key)
			}
		}
	}
	r := data.Record(id.Partitions, w.Now())
	w.out = produced{
		Version: 1, Log: id.Log, Site: id.Sites.Self, Producer: w.producer, Seq: data.Seq, Became: []became{}, Op: describe.Rules{Partitions: id.Partitions}.Explain(&r),
	}
	text := (&explained{Explanation: w.out.Op}).text()
	if w.out.Op.Verdict != describe.Executed {
		fmt.Fprint(w.people(), text)
		return refused("refused: it is %s, and was not written: %s", w.out.Op.Verdict, w.out.Op.Reason)
	}
	if w.dryRun {
		fmt.Fprint(w.people(), text)
		return nil
	}
	before, err := at.Checkpoints(ctx)
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	if cp := &before[r.Partition]; !cp.Open(wal.Local, id.Sites) {
		return refused("refused: %s is not the writer in partition %d (epoch %s): what is appended there is fenced, and does not count%s", id.Sites.Self, r.Partition, cp.Epoch, elsewhere(cp))
	}
	if err := w.show(ctx, fmt.Sprintf("append to %s at %s\n%s", id.Log, id.Sites.Self, text), w.yes); err != nil {
		return err
	}
	done, err := at.Produce(ctx, data)
	if err != nil {
		return &exitError{exitHalfWay, fmt.Errorf("whether it was appended is not known: %w; run it again with --producer %s before the command: it is executed once", err, w.producer)}
	}
	w.out.Place, w.out.Time = &place{done.Partition, done.Offset}, done.Time
	if w.wait == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.wait, fmt.Errorf("not within %s", w.wait))
	defer cancel()
	return w.decided(ctx, s, at, &before[r.Partition], done)
}

// elsewhere says where one can write.
func elsewhere(cp *wal.Checkpoint) string {
	if cp.Streams[wal.Local].Sealed || cp.Epoch.IsNone() {
		return "; the partition is sealed: a cutover is under way, or was interrupted (walctl status)"
	}
	return "; the writer is " + cp.Epoch.Site
}

// decided waits until both sites have decided the record, and says how.
func (w *producing) decided(ctx context.Context, s *sites, at Site, before *wal.Checkpoint, done reach.Appended) error {
	id := at.Identity()
	own, err := w.passed(ctx, at, done.Partition, func(cp *wal.Checkpoint) bool { return cp.Next > done.Offset })
	if err != nil {
		return w.unknown(id.Sites.Self, done, err)
	}
	is := func(c *writer.Copy) bool { return c.Partition == done.Partition && c.Offset == done.Offset }
	if own.Epoch != before.Epoch || !own.Open(wal.Local, id.Sites) {
		list, c, err := inLists(ctx, at, is)
		if err != nil {
			return w.unknown(id.Sites.Self, done, err)
		}
		if c != nil && list == writer.Fenced {
			w.became(id.Sites.Self, fmt.Sprintf("fenced: %s; it does not count. walctl fenced replay %d/%d appends it again where it counts", c.Detail, done.Partition, done.Offset))
			return refused("the writer was moved meanwhile: the record is fenced")
		}
	}
	if own.Refused.N > before.Refused.N {
		// Its copy is written behind the transaction, and the checkpoint says up to where that is done.
		if _, err := w.passed(ctx, at, done.Partition, func(cp *wal.Checkpoint) bool { return cp.Reported > done.Offset }); err != nil {
			return w.unknown(id.Sites.Self, done, err)
		}
		_, c, err := inLists(ctx, at, is)
		if err != nil {
			return w.unknown(id.Sites.Self, done, err)
		}
		if c != nil {
			w.became(id.Sites.Self, fmt.Sprintf("refused: %s (walctl dlq show %d/%d)", c.Detail, done.Partition, done.Offset))
			return refused("Redis refused a command of it: %s", c.Reason)
		}
	}
	w.became(id.Sites.Self, "decided")
	n := own.Streams[wal.Local].N
	other, err := s.need(ctx, id.Sites.Peer)
	if err == nil {
		_, err = w.passed(ctx, other, done.Partition, func(cp *wal.Checkpoint) bool {
			return cp.Epoch == own.Epoch && cp.Streams[wal.Mirrored].N >= n || cp.Epoch.Compare(own.Epoch) > 0
		})
	}
	if err != nil {
		return w.unknown(id.Sites.Peer, done, err)
	}
	w.became(id.Sites.Peer, "decided")
	return nil
}

func (w *producing) became(site, what string) {
	decided := true
	w.out.Became = append(w.out.Became, became{site, &decided, what})
}

func (w *producing) unknown(site string, done reach.Appended, err error) error {
	w.out.Became = append(w.out.Became, became{Site: site, What: "not known: " + err.Error()})
	return &exitError{exitUnknown, fmt.Errorf("it is appended, and what %s makes of it is not known: %w; `walctl explain %d/%d --site %s` tells later", site, err, done.Partition, done.Offset, w.out.Site)}
}

// passed waits until a partition's checkpoint is as is wanted.
func (w *producing) passed(ctx context.Context, at Site, partition int32, is func(*wal.Checkpoint) bool) (*wal.Checkpoint, error) {
	tick := time.NewTicker(min(w.Every, 200*time.Millisecond))
	defer tick.Stop()
	for {
		all, err := at.Checkpoints(ctx)
		if err == nil && is(&all[partition]) {
			return &all[partition], nil
		}
		select {
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if err != nil && !errors.Is(err, cause) {
				cause = fmt.Errorf("%w: %w", cause, err)
			}
			return nil, cause
		case <-tick.C: // a primary that is missing for a moment is asked again
		}
	}
}

// finish says what was done.
func (w *producing) finish(err error) error {
	if err != nil {
		w.out.Exit, w.out.Error = exitUnknown, err.Error()
		if exit, ok := errors.AsType[*exitError](err); ok {
			w.out.Exit = exit.code
		}
	}
	var b strings.Builder
	if w.out.Place != nil {
		fmt.Fprintf(&b, "appended to %s at %s: %s, written %s by %s, sequence %d\n", w.out.Log, w.out.Site, w.out.Place, stamp(w.out.Time), w.out.Producer, w.out.Seq)
	}
	for _, e := range w.out.Became {
		fmt.Fprintf(&b, "at %s: %s\n", e.Site, e.What)
	}
	return w.conclude(w.out, b.String(), w.out.Exit, err)
}
