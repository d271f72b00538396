// Package storage declares where a Redis keeps its data: one claim for each Redis pod, and optionally the Longhorn class
// and its recurring backups and snapshots.
//
// The claims are declared here rather than left to the operator's StatefulSet, which adopts them by name: so they have no
// owner, outlive the RedisFailover, and are protected like any other database.
package storage

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	storagev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/storage/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/internal/kube"
)

// TypeToken is the component's type. It is part of every URN: changing it replaces a database.
const TypeToken = "redis-wal:index:Storage"

// ClaimName is the name of the claim template, and so the beginning of every claim's name.
const ClaimName = "redis-data"

// Args says what to keep and where.
type Args struct {
	// Redis is the name of the RedisFailover whose pods use the claims.
	Redis string
	// Namespace is the namespace of Redis.
	Namespace string
	// Replicas is the number of Redis pods.
	Replicas int
	// Size is the size of each claim, a Kubernetes quantity such as 32Gi.
	Size string
	// Class is the storage class of the claims.
	Class Class
	// Backup is the recurring backup of the claims.
	Backup Backup
	// Snapshot is the recurring snapshot of the claims, which stays on the volumes' own disks.
	Snapshot Snapshot
	// LonghornNamespace is where Longhorn runs; default longhorn-system.
	LonghornNamespace string
}

// Class is the storage class of the claims.
type Class struct {
	// Create declares a Longhorn class of that name. A storage class is cluster-wide: of several sites in one cluster that
	// share a class, one creates it.
	Create bool `json:"create,omitempty"`
	// Name is the class to use.
	Name string `json:"name,omitempty"`
}

// Backup is a recurring Longhorn backup of the data.
type Backup struct {
	// Schedule is a cron line; empty = no backup is declared.
	Schedule string `json:"schedule,omitempty"`
	// Retain is how many backups of each volume are kept.
	Retain int `json:"retain,omitempty"`
}

// Snapshot is a recurring Longhorn snapshot of the data. It is quick to make and to go back to, and is lost with the volume.
type Snapshot struct {
	// Schedule is a cron line; empty = no snapshot is declared.
	Schedule string `json:"schedule,omitempty"`
	// Retain is how many snapshots of each volume are kept.
	Retain int `json:"retain,omitempty"`
}

// Storage is the declared storage.
type Storage struct {
	pulumi.ResourceState
	kube.Children

	// Claims are the names of the claims, one for each Redis pod in order.
	Claims pulumi.StringArrayOutput `pulumi:"claims"`
	// Class is the name of the storage class.
	Class pulumi.StringOutput `pulumi:"class"`
}

// New declares the storage of one Redis.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Storage, error) {
	args = args.withDefaults()
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("storage %q: %w", name, err)
	}
	s := &Storage{}
	inputs := pulumi.Map{
		"redis": pulumi.String(args.Redis), "namespace": pulumi.String(args.Namespace), "replicas": pulumi.Int(args.Replicas),
		"size": pulumi.String(args.Size), "class": pulumi.String(args.Class.Name),
	}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, s, slices.Concat(opts, []pulumi.ResourceOption{s.Remember()})...); err != nil {
		return nil, err
	}
	if err := s.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("storage %q: %w", name, err)
	}
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{"claims": s.Claims, "class": s.Class})
}

func (a Args) withDefaults() Args {
	if a.LonghornNamespace == "" {
		a.LonghornNamespace = "longhorn-system"
	}
	if a.Class.Name == "" {
		a.Class.Name = "longhorn-redis"
	}
	if a.Backup.Retain == 0 {
		a.Backup.Retain = 28
	}
	if a.Snapshot.Retain == 0 {
		a.Snapshot.Retain = 12
	}
	return a
}

func (a Args) validate() error {
	var errs []error
	if a.Redis == "" || a.Namespace == "" {
		errs = append(errs, errors.New("arguments Redis and Namespace are required"))
	}
	if a.Replicas < 1 {
		errs = append(errs, fmt.Errorf("argument Replicas %d: want at least 1", a.Replicas))
	}
	if a.Size == "" {
		errs = append(errs, errors.New("argument Size is required, for example 32Gi"))
	}
	return errors.Join(errs...)
}

// BackupGroup is the Longhorn recurring-job group of the volumes of one Redis. Longhorn's names end at 40 characters.
func BackupGroup(namespace, redis string) string { return kube.ShortName(40, namespace, redis) }

// ClaimLabels are the labels that the operator gives the claims and by which it finds them when their size changes,
// together with the ones by which Longhorn finds them for backups.
func (a Args) ClaimLabels() map[string]string {
	return kube.With(a.VolumeLabels(), map[string]string{
		"app.kubernetes.io/name":                      a.Redis,
		"app.kubernetes.io/component":                 "redis",
		"app.kubernetes.io/part-of":                   "redis-failover",
		"app.kubernetes.io/managed-by":                "redis-operator",
		"redisfailovers.databases.spotahome.com/name": a.Redis,
	})
}

// VolumeLabels are the labels by which Longhorn finds the claims for backups.
func (a Args) VolumeLabels() map[string]string {
	return map[string]string{
		"recurring-job.longhorn.io/source":                                     "enabled",
		"recurring-job-group.longhorn.io/" + BackupGroup(a.Namespace, a.Redis): "enabled",
	}
}

// recurringJob is the spec of longhorn.io/v1beta2 RecurringJob.
type recurringJob struct {
	Name        string            `json:"name"`
	Task        string            `json:"task"`
	Cron        string            `json:"cron"`
	Retain      int               `json:"retain"`
	Concurrency int               `json:"concurrency"`
	Groups      []string          `json:"groups"`
	Labels      map[string]string `json:"labels"`
}

func (s *Storage) build(ctx *pulumi.Context, name string, args Args) error {
	parent := pulumi.Parent(s)
	var claimOpts []pulumi.ResourceOption
	if args.Class.Create {
		class, err := storagev1.NewStorageClass(ctx, name+"-class", &storagev1.StorageClassArgs{
			Metadata:             kube.Object{Name: args.Class.Name, Labels: map[string]string{"app.kubernetes.io/part-of": kube.PartOf}}.Meta(),
			Provisioner:          pulumi.String("driver.longhorn.io"),
			AllowVolumeExpansion: pulumi.Bool(true),
			ReclaimPolicy:        pulumi.String("Retain"),
			VolumeBindingMode:    pulumi.String("WaitForFirstConsumer"),
			// Two copies, one of them where the pod runs: Redis replicates by itself, but with a single local copy the pod of a
			// lost node stays Pending, and while any pod is Pending the operator heals nothing.
			Parameters: pulumi.ToStringMap(map[string]string{
				"numberOfReplicas": "2", "dataLocality": "best-effort", "staleReplicaTimeout": "30", "fsType": "ext4", "dataEngine": "v1",
			}),
		}, parent, pulumi.RetainOnDelete(true))
		if err != nil {
			return err
		}
		claimOpts = append(claimOpts, pulumi.DependsOn([]pulumi.Resource{class}))
	}
	if args.Backup.Schedule != "" {
		if err := recur(ctx, name+"-backup", args, "backup", BackupGroup(args.Namespace, args.Redis), args.Backup.Schedule, args.Backup.Retain, parent); err != nil {
			return err
		}
	}
	if args.Snapshot.Schedule != "" {
		job := kube.ShortName(40, args.Namespace, args.Redis, "snapshot")
		if err := recur(ctx, name+"-snapshot", args, "snapshot", job, args.Snapshot.Schedule, args.Snapshot.Retain, parent); err != nil {
			return err
		}
	}
	claimOpts = append(claimOpts, parent, pulumi.Protect(true), pulumi.RetainOnDelete(true))
	var claims pulumi.StringArray
	for i := range args.Replicas {
		claim := fmt.Sprintf("%s-rfr-%s-%d", ClaimName, args.Redis, i)
		_, err := corev1.NewPersistentVolumeClaim(ctx, name+"-data-"+strconv.Itoa(i), &corev1.PersistentVolumeClaimArgs{
			Metadata: kube.Object{
				Name: claim, Namespace: args.Namespace, Labels: args.ClaimLabels(),
				// The class binds a volume when the first pod wants it, which is after this program has gone on.
				Annotations: map[string]string{"pulumi.com/skipAwait": "true"},
			}.Meta(),
			Spec: &corev1.PersistentVolumeClaimSpecArgs{
				StorageClassName: pulumi.String(args.Class.Name),
				AccessModes:      pulumi.ToStringArray([]string{"ReadWriteOnce"}),
				Resources:        &corev1.VolumeResourceRequirementsArgs{Requests: pulumi.StringMap{"storage": pulumi.String(args.Size)}},
			},
		}, claimOpts...)
		if err != nil {
			return err
		}
		claims = append(claims, pulumi.String(claim))
	}
	s.Claims = claims.ToStringArrayOutput()
	s.Class = pulumi.String(args.Class.Name).ToStringOutput()
	return nil
}

// recur declares a recurring job of Longhorn for the volumes of this Redis.
func recur(ctx *pulumi.Context, name string, args Args, task, job, cron string, retain int, opts ...pulumi.ResourceOption) error {
	_, err := kube.NewCustomResource(ctx, name, kube.LonghornVersion, "RecurringJob",
		kube.Object{Name: job, Namespace: args.LonghornNamespace, Labels: kube.Labels(args.Redis, task)},
		recurringJob{
			Name: job, Task: task, Cron: cron, Retain: retain, Concurrency: 1,
			Groups: []string{BackupGroup(args.Namespace, args.Redis)},
			Labels: map[string]string{"redis": args.Redis, "namespace": args.Namespace},
		}, opts...)
	return err
}
