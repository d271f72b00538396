package walclient_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// kafka stands for the site's Kafka, with a log of three partitions.
func kafka() *kfake.Cluster {
	return kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "redis-writes"))
}

func ExampleProducer_Do() {
	k := kafka()
	defer k.Close()

	p, err := walclient.New(walclient.Options{Brokers: k.ListenAddrs(), Name: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ack, err := p.Do(ctx, wal.Set("orders:42", "paid").ExpireAfter(time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, offset %d\n", ack.Log, ack.Offset)

	// Several commands on one routing key are one transaction.
	_, err = p.Do(ctx, wal.Tx(wal.Incr("{orders:42}:changes"), wal.HSet("{orders:42}:by", "who", "alice")))
	fmt.Println(err)
	// Output:
	// redis-writes, offset 0
	// <nil>
}

func ExampleProducer_DoAsync() {
	k := kafka()
	defer k.Close()
	p, err := walclient.New(walclient.Options{Brokers: k.ListenAddrs(), Name: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	for range 3 {
		p.DoAsync(context.Background(), wal.Incr("visits"), func(ack walclient.Ack, err error) {
			fmt.Println(ack.Offset, err)
		})
	}
	if err := p.Flush(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
	// 2 <nil>
}

// What could never be applied is an error at the caller, with what to do instead.
func ExampleProducer_Do_poison() {
	k := kafka()
	defer k.Close()
	p, err := walclient.New(walclient.Options{Brokers: k.ListenAddrs(), Name: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	_, err = p.Do(context.Background(), wal.Cmd("SPOP", "winners"))
	var poison *wal.PoisonError
	if errors.As(err, &poison) {
		fmt.Println(poison.Reason)
	}
	// Output:
	// forbidden-command
}

func ExampleAck_WaitApplied() {
	k := kafka()
	defer k.Close()
	server, err := miniredis.Run()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	p, err := walclient.New(walclient.Options{Brokers: k.ListenAddrs(), Name: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()}) // the Redis that this application reads
	defer func() { _ = rdb.Close() }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ack, err := p.Do(ctx, wal.Set("orders:42", "paid"))
	if err != nil {
		fmt.Println(err)
		return
	}
	go apply(server, ack) // the site's applier does it

	if err := ack.WaitApplied(ctx, rdb); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rdb.Get(ctx, "orders:42").Val())
	// Output:
	// paid
}

func apply(server *miniredis.Miniredis, ack walclient.Ack) {
	if err := server.Set("orders:42", "paid"); err != nil {
		panic(err)
	}
	server.HSet(wal.CheckpointKey(ack.Log, ack.Partition), "next", fmt.Sprint(ack.Offset+1), "topic-id", ack.TopicID.String())
}
