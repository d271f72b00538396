// Package applier declares the appliers of a site: the processes that replay the log into the local Redis. Their
// environment is written by the very package that they read it with.
package applier

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

// TypeToken is the component's type. It is part of every URN.
const TypeToken = "redis-wal:index:Applier"

const (
	// Port is the port of /readyz, /healthz and /metrics.
	Port = 9180
	// PortName is its name.
	PortName = "http"
	// SigningKey is the key of the signing key in its Secret.
	SigningKey = "key"
)

// Args says what the appliers of a site are.
type Args struct {
	// Name is the Deployment's name.
	Name string
	// Namespace is where they run: that of Redis.
	Namespace string
	// Image is the image of redis-applier; never latest.
	Image string
	// Replicas is how many share the partitions; default 3.
	Replicas int
	// Resources are those of each; default 256Mi of memory.
	Resources workload.Resources
	// Config is what they are told. The listen address and the paths of mounted files are filled in here.
	Config config.Run
	// Env changes or adds variables: one that begins with APPLIER_ must be one of the applier's.
	Env map[string]string
	// Credentials say where passwords and keys are.
	Credentials Credentials
	// SigningKey signs control records; nil = the Secret of the credentials exists already.
	SigningKey pulumi.StringInput
	// Images says where images come from.
	Images workload.Images
	// Network says who may reach them.
	Network workload.Network
	// Kafka are the brokers' pods; the zero value = outside of the cluster.
	Kafka workload.Pods
	// Redis are the Redis and Sentinel pods.
	Redis workload.Pods
	// RedisPorts are the ports of Redis and Sentinel.
	RedisPorts []int
}

// Credentials say in which Secrets, in the namespace of the pods, passwords and keys are.
type Credentials struct {
	// Signing is the Secret with the signing key, under [SigningKey].
	Signing string
	// Kafka is the Secret with the password of the Kafka user, under "password".
	Kafka string
	// KafkaCA are the certificates (PEM) of the brokers' CA. They are no secret.
	KafkaCA string
	// KafkaCASecret is a Secret that has them, under ca.crt, instead of KafkaCA.
	KafkaCASecret string
	// Redis is the Secret with the Redis password, under "password".
	Redis string
}

// The folders where the credentials are mounted.
const (
	signingDir = "/etc/redis-wal/signing"
	kafkaDir   = "/etc/redis-wal/kafka"
	kafkaCADir = "/etc/redis-wal/kafka-ca"
	redisDir   = "/etc/redis-wal/redis"
)

// Files are the mounts of the credentials, and the paths of their files in the given configuration. KafkaCA is mounted
// from the ConfigMap [KafkaCAConfigMap] of name.
func (c Credentials) Files(name string, identity *config.Identity, kafka *config.Kafka) []kube.Files {
	files := []kube.Files{{Volume: "signing", Dir: signingDir, Secret: c.Signing}, {Volume: "kafka", Dir: kafkaDir, Secret: c.Kafka}}
	identity.SigningKeyFile = signingDir + "/" + SigningKey
	kafka.PasswordFile = kafkaDir + "/password"
	switch {
	case c.KafkaCA != "":
		files = append(files, kube.Files{Volume: "kafka-ca", Dir: kafkaCADir, ConfigMap: KafkaCAConfigMap(name)})
		kafka.CAFile = kafkaCADir + "/ca.crt"
	case c.KafkaCASecret != "":
		files = append(files, kube.Files{Volume: "kafka-ca", Dir: kafkaCADir, Secret: c.KafkaCASecret})
		kafka.CAFile = kafkaCADir + "/ca.crt"
	}
	return files
}

// RedisFiles are files with the mount of the Redis password, and the path of its file.
func (c Credentials) RedisFiles(files []kube.Files) (_ []kube.Files, password string) {
	return append(files, kube.Files{Volume: "redis", Dir: redisDir, Secret: c.Redis}), redisDir + "/password"
}

// KafkaCAConfigMap is the name of the ConfigMap with the brokers' CA.
func KafkaCAConfigMap(name string) string { return name + "-kafka-ca" }

// SigningSecret is the name of the Secret with the signing key.
func SigningSecret(name string) string { return name + "-signing" }

// PodLabels are the labels of the applier pods.
func PodLabels(name string) map[string]string { return kube.Labels(name, "applier") }

// Applier is the declared Deployment with what belongs to it.
type Applier struct {
	pulumi.ResourceState
	kube.Children

	// Metrics is the address of the metrics, host:port.
	Metrics pulumi.StringOutput `pulumi:"metrics"`
}

// New declares the appliers.
func New(ctx *pulumi.Context, name string, args Args, opts ...pulumi.ResourceOption) (*Applier, error) {
	args = args.withDefaults()
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("applier %q: %w", name, err)
	}
	a := &Applier{}
	inputs := pulumi.Map{
		"site": pulumi.String(args.Config.Site), "log": pulumi.String(args.Config.Log), "image": pulumi.String(args.Image),
	}
	if err := ctx.RegisterComponentResourceV2(TypeToken, name, inputs, a, slices.Concat(opts, []pulumi.ResourceOption{a.Remember()})...); err != nil {
		return nil, err
	}
	if err := a.build(ctx, name, args); err != nil {
		return nil, fmt.Errorf("applier %q: %w", name, err)
	}
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"metrics": a.Metrics})
}

func (a Args) withDefaults() Args {
	if a.Replicas == 0 {
		a.Replicas = 3
	}
	if a.Images.PullPolicy == "" {
		a.Images.PullPolicy = "IfNotPresent"
	}
	a.Resources = a.Resources.Or(DefaultResources())
	a.Network = a.Network.WithDefaults()
	return a
}

// DefaultResources are those of one applier.
func DefaultResources() workload.Resources {
	return workload.Resources{
		Requests: workload.Quantities{CPU: "100m", Memory: "128Mi"}, Limits: workload.Quantities{Memory: "256Mi"},
	}
}

func (a Args) validate() error {
	var errs []error
	if a.Name == "" || a.Namespace == "" || a.Image == "" {
		errs = append(errs, errors.New("arguments Name, Namespace and Image are required"))
	}
	if a.Replicas < 1 {
		errs = append(errs, fmt.Errorf("argument Replicas %d: want at least 1", a.Replicas))
	}
	if a.Credentials.Signing == "" || a.Credentials.Kafka == "" || a.Credentials.Redis == "" {
		errs = append(errs, errors.New("argument Credentials needs Signing, Kafka and Redis"))
	}
	_, err := a.environ()
	return errors.Join(append(errs, err)...)
}

// environ is the environment of the pods: the configuration with the deployer's changes, in a fixed order.
func (a Args) environ() ([]config.Var, error) {
	a.configure()
	return Overlay(a.Config, a.Env)
}

// configure fills in what the pod decides.
func (a *Args) configure() []kube.Files {
	files, password := a.Credentials.RedisFiles(a.Credentials.Files(a.Name, &a.Config.Identity, &a.Config.Kafka))
	a.Config.RedisPasswordFile = password
	a.Config.Listen = fmt.Sprintf("$(POD_IP):%d", Port) // POD_IP is set by the kubelet
	return files
}

// Overlay is the environment that says run, changed by env. A variable that begins with APPLIER_ must be one of [Tunable], one that begins with OTEL_ one
// that the applier knows, and a changed value must pass the applier's own rules; other variables are added as they are.
func Overlay(run config.Run, env map[string]string) ([]config.Var, error) {
	vars := run.Environ()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(env)) {
		i := slices.IndexFunc(vars, func(v config.Var) bool { return v.Name == name })
		switch {
		case strings.HasPrefix(name, "APPLIER_") && !slices.Contains(Tunable(), name):
			errs = append(errs, fmt.Errorf("%s: is not one of the variables to tune the applier with: %s", name, strings.Join(Tunable(), ", ")))
		case strings.HasPrefix(name, "OTEL_") && !slices.Contains(config.OpenTelemetryVariables(), name):
			errs = append(errs, fmt.Errorf("%s: is not one of OpenTelemetry's variables that the applier knows: %s", name, strings.Join(config.OpenTelemetryVariables(), ", ")))
		case i >= 0:
			vars[i].Value = env[name]
		default:
			vars = append(vars, config.Var{Name: name, Value: env[name]})
		}
	}
	_, err := config.ReadRun(func(name string) (string, bool) {
		i := slices.IndexFunc(vars, func(v config.Var) bool { return v.Name == name })
		if i < 0 {
			return "", false
		}
		return vars[i].Value, true
	})
	return vars, errors.Join(append(errs, err)...)
}

// Tunable are the applier's variables that a deployer may change. The others say where the applier is and what it talks
// to, which the program knows better.
func Tunable() []string {
	return []string{
		"APPLIER_POISON", "APPLIER_WAIT_REPLICAS", "APPLIER_BARRIER_INTERVAL", "APPLIER_HALT_CONFIRM",
		"APPLIER_BATCH_RECORDS", "APPLIER_BATCH_BYTES", "APPLIER_REPLICA_BUFFER", "APPLIER_VERBOSITY", "APPLIER_PPROF",
	}
}

func (a *Applier) build(ctx *pulumi.Context, name string, args Args) error {
	parent := pulumi.Parent(a)
	files := args.configure()
	env, err := Overlay(args.Config, args.Env)
	if err != nil {
		return err
	}
	labels := PodLabels(args.Name)
	object := kube.Object{Name: args.Name, Namespace: args.Namespace, Labels: labels}

	if args.SigningKey != nil {
		secret := object
		secret.Name = args.Credentials.Signing
		if err := kube.NewSecret(ctx, name+"-signing", secret, pulumi.StringMap{SigningKey: args.SigningKey}, parent, pulumi.RetainOnDelete(true)); err != nil {
			return err
		}
	}
	if args.Credentials.KafkaCA != "" {
		ca := object
		ca.Name = KafkaCAConfigMap(args.Name)
		_, err := corev1.NewConfigMap(ctx, name+"-kafka-ca", &corev1.ConfigMapArgs{
			Metadata: ca.Meta(), Data: pulumi.StringMap{"ca.crt": pulumi.String(args.Credentials.KafkaCA)},
		}, parent)
		if err != nil {
			return err
		}
	}
	if args.Network.On() {
		if err := a.isolate(ctx, name, args, object); err != nil {
			return err
		}
	}

	volumes, mounts := kube.Mount(files)
	_, err = appsv1.NewDeployment(ctx, name+"-deployment", &appsv1.DeploymentArgs{
		Metadata: object.Meta(),
		Spec: &appsv1.DeploymentSpecArgs{
			Replicas: pulumi.Int(args.Replicas),
			Selector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(labels)},
			Strategy: &appsv1.DeploymentStrategyArgs{
				Type: pulumi.String("RollingUpdate"),
				RollingUpdate: &appsv1.RollingUpdateDeploymentArgs{
					MaxSurge: pulumi.Int(1), MaxUnavailable: pulumi.Int(0),
				},
			},
			Template: &corev1.PodTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{Labels: pulumi.ToStringMap(labels)},
				Spec: &corev1.PodSpecArgs{
					AutomountServiceAccountToken:  pulumi.Bool(false),
					EnableServiceLinks:            pulumi.Bool(false),
					SecurityContext:               kube.PodSecurity(),
					ImagePullSecrets:              kube.PullSecrets(args.Images),
					TerminationGracePeriodSeconds: pulumi.Int(30), // a stop takes 5 s
					TopologySpreadConstraints:     kube.SpreadOver(labels),
					Volumes:                       volumes,
					Containers: corev1.ContainerArray{corev1.ContainerArgs{
						Name:            pulumi.String("applier"),
						Image:           pulumi.String(args.Images.Ref(args.Image)),
						ImagePullPolicy: pulumi.String(args.Images.PullPolicy),
						Args:            pulumi.ToStringArray([]string{"run"}),
						Env:             kube.Env(env, kube.PodIP()),
						Ports: corev1.ContainerPortArray{corev1.ContainerPortArgs{
							Name: pulumi.String(PortName), ContainerPort: pulumi.Int(Port), Protocol: pulumi.String("TCP"),
						}},
						Resources:       kube.Requirements(args.Resources),
						SecurityContext: kube.ContainerSecurity(),
						VolumeMounts:    mounts,
						ReadinessProbe:  kube.HTTPProbe("/readyz", PortName, 5, 3),
						LivenessProbe:   kube.HTTPProbe("/healthz", PortName, 10, 6),
					}},
				},
			},
		},
	}, parent, pulumi.DependsOn(a.Resources()))
	if err != nil {
		return err
	}
	_, err = corev1.NewService(ctx, name+"-service", &corev1.ServiceArgs{
		Metadata: object.Meta(),
		Spec: &corev1.ServiceSpecArgs{
			Selector: pulumi.ToStringMap(labels),
			Ports: corev1.ServicePortArray{corev1.ServicePortArgs{
				Name: pulumi.String(PortName), Port: pulumi.Int(Port), TargetPort: pulumi.String(PortName), Protocol: pulumi.String("TCP"),
			}},
		},
	}, parent)
	if err != nil {
		return err
	}
	_, err = policyv1.NewPodDisruptionBudget(ctx, name+"-budget", &policyv1.PodDisruptionBudgetArgs{
		Metadata: object.Meta(),
		Spec: &policyv1.PodDisruptionBudgetSpecArgs{
			MaxUnavailable: pulumi.Int(1),
			Selector:       &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(labels)},
			// An applier that is not ready protects nothing; it must not block the drain of its node.
			UnhealthyPodEvictionPolicy: pulumi.String("AlwaysAllow"),
		},
	}, parent)
	if err != nil {
		return err
	}
	a.Metrics = pulumi.Sprintf("%s.%s.svc:%d", args.Name, args.Namespace, Port)
	return nil
}

func (a *Applier) isolate(ctx *pulumi.Context, name string, args Args, object kube.Object) error {
	kafka, err := kube.Brokers(args.Kafka, args.Config.Brokers)
	if err != nil {
		return err
	}
	to := []kube.Rule{
		kafka,
		{Pods: []workload.Pods{args.Redis}, Ports: args.RedisPorts},
		kube.DNS(args.Network.DNS),
	}
	if args.Network.Collector.On() {
		to = append(to, kube.Collector(args.Network.Collector))
	}
	_, err = kube.NewPolicy(ctx, name+"-network", kube.Policy{
		Object:  object,
		Selects: PodLabels(args.Name),
		From:    []kube.Rule{{Pods: []workload.Pods{args.Network.Prometheus}, Ports: []int{Port}}},
		To:      to,
	}, pulumi.Parent(a))
	return err
}
