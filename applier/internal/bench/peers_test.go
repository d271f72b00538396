package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
)

// perWrite is how many commands the peers put into one write, as the applier does.
const perWrite = 1000

func redisBenchmark(b *testing.B, port string) float64 {
	out, err := exec.Command("redis-benchmark", "-p", port, "-t", "set", "-n", strconv.Itoa(backlog), "-r", "100000", "-d", "100", "-P", "100", "-c", "1", "--csv").Output()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimSpace(line), ","); strings.Trim(f[0], `"`) == "SET" {
			rate, err := strconv.ParseFloat(strings.Trim(f[1], `"`), 64)
			if err != nil {
				b.Fatal(err)
			}
			return rate
		}
	}
	b.Fatalf("redis-benchmark printed no figure: %s", out)
	return 0
}

// encode appends the i-th command; all of them are answered by one line.
type encode func(dst []byte, i int) []byte

func encodeSet(dst []byte, i int) []byte {
	return fmt.Appendf(dst, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$100\r\n%s\r\n", i%100_000, value100)
}

// guardedSet is what people do who keep the offset in Redis, too: a script for each op that compares it first.
func guardedSet(b *testing.B, server *redistest.Server) encode {
	const script = `local n = tonumber(redis.call('GET', KEYS[2]) or '0')
if tonumber(ARGV[2]) < n then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], tonumber(ARGV[2]) + 1)
return 1`
	sha, err := server.Client.ScriptLoad(context.Background(), script).Result()
	if err != nil {
		b.Fatal(err)
	}
	return func(dst []byte, i int) []byte {
		offset := strconv.Itoa(i)
		return fmt.Appendf(dst, "*7\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n$1\r\n2\r\n$16\r\nkey:%012d\r\n$6\r\noffset\r\n$100\r\n%s\r\n$%d\r\n%s\r\n",
			sha, i%100_000, value100, len(offset), offset)
	}
}

// rawPipeline writes commands that were encoded before, and reads the answers to one write while the next is under way.
func rawPipeline(b *testing.B, addr string, e encode) float64 {
	var writes [][]byte
	for i := 0; i < backlog; i += perWrite {
		var w []byte
		for j := range perWrite {
			w = e(w, i+j)
		}
		writes = append(writes, w)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 32<<10)
	began := time.Now()
	for i, w := range writes {
		if _, err := conn.Write(w); err != nil {
			b.Fatal(err)
		}
		if i > 0 {
			if err := skipAnswers(r, perWrite); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := skipAnswers(r, perWrite); err != nil {
		b.Fatal(err)
	}
	return backlog / time.Since(began).Seconds()
}

func txPipelined(b *testing.B, server *redistest.Server) float64 {
	const n = backlog / 2
	ctx := context.Background()
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("key:%012d", i)
	}
	began := time.Now()
	for i := 0; i < n; i += perWrite {
		_, err := server.Client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			for j := range perWrite {
				p.Set(ctx, keys[(i+j)%len(keys)], value100, 0)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(began).Seconds()
}

// byHand is the consumer that people write first: SET for each record, then commit to Kafka. It loses and repeats at crashes.
func byHand(b *testing.B, kafka *sitetest.Kafka, server *redistest.Server) float64 {
	const n = backlog / 20 // it takes as long as everything else together
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.Cluster.ListenAddrs()...), kgo.ConsumerGroup("by-hand"), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	var began time.Time
	for done := 0; done < n; {
		fetches := client.PollRecords(ctx, 500)
		if began.IsZero() {
			began = time.Now() // joining the group is not measured
		}
		for _, r := range fetches.Records() {
			if err := server.Client.Set(ctx, string(r.Key), r.Value, 0).Err(); err != nil {
				b.Fatal(err)
			}
			done++
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(began).Seconds()
}

// skipAnswers reads n answers of one line each.
func skipAnswers(r *bufio.Reader, n int) error {
	for range n {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line[0] == '-' {
			return fmt.Errorf("redis says %q", line)
		}
	}
	return nil
}
