package edge

import (
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	policyv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/policy/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/edge/haproxy"
	"github.com/comptech-lab/redis-wal/components/internal/kube"
	"github.com/comptech-lab/redis-wal/components/workload"
)

func (e *Edge) build(ctx *pulumi.Context, name string, args Args, config string) error {
	parent := pulumi.Parent(e)
	labels := PodLabels(args.Name)
	object := kube.Object{Name: args.Name, Namespace: args.Namespace, Labels: labels}
	files := args.files(config)
	_, err := corev1.NewConfigMap(ctx, name+"-config", &corev1.ConfigMapArgs{Metadata: object.Meta(), Data: pulumi.ToStringMap(files)}, parent)
	if err != nil {
		return err
	}
	if err := e.services(ctx, name, args, object); err != nil {
		return err
	}
	if args.Network.On() {
		if err := e.isolate(ctx, name, args, object); err != nil {
			return err
		}
	}
	if args.Ingress.on() {
		if err := e.ingress(ctx, name, args, object); err != nil {
			return err
		}
	}
	if err := e.deployment(ctx, name, args, object, files); err != nil {
		return err
	}
	_, err = policyv1.NewPodDisruptionBudget(ctx, name+"-budget", &policyv1.PodDisruptionBudgetArgs{
		Metadata: object.Meta(),
		Spec: &policyv1.PodDisruptionBudgetSpecArgs{
			MaxUnavailable:             pulumi.Int(1),
			Selector:                   &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(labels)},
			UnhealthyPodEvictionPolicy: pulumi.String("AlwaysAllow"),
		},
	}, parent)
	return err
}

// services are the address of the clients, and the name under which HAProxy finds the Redis pods: those that are not ready too, for HAProxy judges by itself.
func (e *Edge) services(ctx *pulumi.Context, name string, args Args, object kube.Object) error {
	port := func(name string, port int) corev1.ServicePortArgs {
		return corev1.ServicePortArgs{Name: pulumi.String(name), Port: pulumi.Int(port), TargetPort: pulumi.String(name), Protocol: pulumi.String("TCP")}
	}
	_, err := corev1.NewService(ctx, name+"-service", &corev1.ServiceArgs{
		Metadata: object.Meta(),
		Spec: &corev1.ServiceSpecArgs{
			Type: pulumi.String(args.Service), Selector: pulumi.ToStringMap(PodLabels(args.Name)),
			Ports: corev1.ServicePortArray{port("active", ActivePort), port("asked", AskedPort)},
		},
	}, pulumi.Parent(e))
	if err != nil {
		return err
	}
	object.Name = args.redisService()
	_, err = corev1.NewService(ctx, name+"-redis", &corev1.ServiceArgs{
		Metadata: object.Meta(),
		Spec: &corev1.ServiceSpecArgs{
			ClusterIP: pulumi.String("None"), PublishNotReadyAddresses: pulumi.Bool(true), Selector: pulumi.ToStringMap(args.Redis.PodLabels),
			Ports: corev1.ServicePortArray{corev1.ServicePortArgs{Name: pulumi.String("redis"), Port: pulumi.Int(args.RedisPort), Protocol: pulumi.String("TCP")}},
		},
	}, pulumi.Parent(e))
	return err
}

func (e *Edge) deployment(ctx *pulumi.Context, name string, args Args, object kube.Object, files map[string]string) error {
	mounted := []kube.Files{{Volume: "config", Dir: configDir, ConfigMap: args.Name}}
	if args.TLSSecret != "" {
		mounted = append(mounted, kube.Files{Volume: "tls", Dir: tlsDir, Secret: args.TLSSecret})
	}
	volumes, mounts := kube.Mount(mounted)
	port := func(name string, port int) corev1.ContainerPortArgs {
		return corev1.ContainerPortArgs{Name: pulumi.String(name), ContainerPort: pulumi.Int(port), Protocol: pulumi.String("TCP")}
	}
	labels := object.Labels
	_, err := appsv1.NewDeployment(ctx, name+"-deployment", &appsv1.DeploymentArgs{
		Metadata: object.Meta(),
		Spec: &appsv1.DeploymentSpecArgs{
			Replicas: pulumi.Int(args.Replicas),
			Selector: &metav1.LabelSelectorArgs{MatchLabels: pulumi.ToStringMap(labels)},
			Strategy: &appsv1.DeploymentStrategyArgs{
				Type:          pulumi.String("RollingUpdate"),
				RollingUpdate: &appsv1.RollingUpdateDeploymentArgs{MaxSurge: pulumi.Int(1), MaxUnavailable: pulumi.Int(0)},
			},
			Template: &corev1.PodTemplateSpecArgs{
				Metadata: &metav1.ObjectMetaArgs{
					Labels: pulumi.ToStringMap(labels), Annotations: pulumi.StringMap{"redis-wal/config": pulumi.String(hash(files))},
				},
				Spec: &corev1.PodSpecArgs{
					AutomountServiceAccountToken:  pulumi.Bool(false),
					EnableServiceLinks:            pulumi.Bool(false),
					SecurityContext:               kube.PodSecurity(),
					ImagePullSecrets:              kube.PullSecrets(args.Images),
					TerminationGracePeriodSeconds: pulumi.Int(10),
					TopologySpreadConstraints:     kube.SpreadOver(labels),
					Volumes:                       volumes,
					Containers: corev1.ContainerArray{corev1.ContainerArgs{
						Name:            pulumi.String("haproxy"),
						Image:           pulumi.String(args.Images.Ref(args.Image)),
						ImagePullPolicy: pulumi.String(args.Images.PullPolicy),
						Command:         pulumi.ToStringArray([]string{"haproxy", "-db", "-f", configDir + "/haproxy.cfg"}),
						Env: corev1.EnvVarArray{corev1.EnvVarArgs{
							Name: pulumi.String(haproxy.DefaultPasswordEnv),
							ValueFrom: &corev1.EnvVarSourceArgs{SecretKeyRef: &corev1.SecretKeySelectorArgs{
								Name: pulumi.String(args.Secret), Key: pulumi.String(args.PasswordKey),
							}},
						}},
						Ports:           corev1.ContainerPortArray{port("active", ActivePort), port("asked", AskedPort), port(HTTPName, HTTPPort)},
						Resources:       kube.Requirements(args.Resources),
						SecurityContext: kube.ContainerSecurity(),
						VolumeMounts:    mounts,
						// Ready also while there is no primary: a rollout must not wait for a failover, and there is nobody better to ask.
						ReadinessProbe: kube.HTTPProbe("/healthz", HTTPName, 5, 3),
						LivenessProbe:  kube.HTTPProbe("/healthz", HTTPName, 10, 6),
					}},
				},
			},
		},
	}, pulumi.Parent(e), pulumi.DependsOn(e.Resources()))
	return err
}

// isolate lets the clients, the ingress controller and Prometheus in, and everybody if the Service is for everybody; and lets the pods reach Redis, the peer's entries and DNS.
func (e *Edge) isolate(ctx *pulumi.Context, name string, args Args, object kube.Object) error {
	from := kube.Rule{Pods: args.Network.Clients, Ports: []int{ActivePort, AskedPort}}
	if args.Ingress.on() {
		from.Pods = append(append([]workload.Pods(nil), from.Pods...), args.Ingress.Controller)
	}
	rules := []kube.Rule{{Pods: []workload.Pods{args.Network.Prometheus}, Ports: []int{HTTPPort}}}
	if args.Service != "ClusterIP" {
		from.Pods = nil // a policy cannot name what is outside
	}
	if len(from.Pods) > 0 || args.Service != "ClusterIP" {
		rules = append(rules, from)
	}
	to := []kube.Rule{{Pods: []workload.Pods{args.Redis}, Ports: []int{args.RedisPort}}, kube.DNS(args.Network.DNS)}
	if len(args.PeerEntries) > 0 {
		peer, err := kube.Brokers(workload.Pods{}, args.PeerEntries)
		if err != nil {
			return err
		}
		to = append(to, peer)
	}
	_, err := kube.NewPolicy(ctx, name+"-network", kube.Policy{Object: object, Selects: PodLabels(args.Name), From: rules, To: to}, pulumi.Parent(e))
	return err
}

// The fields of TCP that are used, by the names of its schema.
type (
	tcp struct {
		Name     string   `json:"name"`
		Frontend frontend `json:"frontend"`
		Service  service  `json:"service"`
	}
	frontend struct {
		Name  string          `json:"name"`
		Binds map[string]bind `json:"binds"`
	}
	bind struct {
		Name string `json:"name"`
		Port int    `json:"port"`
	}
	service struct {
		Name string `json:"name"`
		Port int    `json:"port"`
	}
)

// ingress leads ports of the ingress controller to the Service. Who the primary is, the edge knows: the controller passes bytes on, TLS included.
func (e *Edge) ingress(ctx *pulumi.Context, name string, args Args, object kube.Object) error {
	var spec []tcp
	for _, p := range []struct {
		name     string
		from, to int
	}{{"active", args.Ingress.Active, ActivePort}, {"asked", args.Ingress.Asked, AskedPort}} {
		if p.from == 0 {
			continue
		}
		of := args.Namespace + "-" + args.Name + "-" + p.name // unique in the controller
		spec = append(spec, tcp{Name: of, Frontend: frontend{Name: of, Binds: map[string]bind{"v4": {Name: "v4", Port: p.from}}}, Service: service{Name: args.Name, Port: p.to}})
	}
	object.Annotations = map[string]string{"ingress.class": args.Ingress.Class}
	_, err := kube.NewCustomResource(ctx, name+"-ingress", kube.HAProxyVersion, "TCP", object, spec, pulumi.Parent(e))
	return err
}
