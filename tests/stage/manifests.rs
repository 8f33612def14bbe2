//! The objects of a scene, as people would write them.

use std::time::Duration;

/// The broker's URL for triggers.
pub fn secret(amqp: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: rabbitmq, namespace: default}}
stringData: {{host: '{amqp}'}}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {{name: rabbitmq, namespace: default}}
spec:
  secretTargetRef: [{{parameter: host, name: rabbitmq, key: host}}]
"
    )
}

/// A queue's workers.
pub struct Worker<'a> {
    /// Name of queue, Deployment and ScaledObject.
    pub name: &'a str,
    /// How long a message takes.
    pub service_time: Duration,
    /// Messages for each replica.
    pub value: u32,
    /// The most replicas.
    pub max: u32,
    /// `cooldownPeriod`, in seconds.
    pub cooldown_s: u32,
}

impl Worker<'_> {
    /// Its Deployment with so many replicas.
    pub fn deployment(&self, replicas: u32) -> String {
        let Self { name, .. } = self;
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: worker
          image: worker
          resources: {{requests: {{cpu: '1', memory: 2Gi}}}}
"
        )
    }

    /// Its objects.
    pub fn yaml(&self) -> String {
        let Self { name, value, max, cooldown_s, .. } = self;
        let deployment = self.deployment(0);
        format!(
            "{deployment}---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}, namespace: default}}
spec:
  scaleTargetRef: {{name: {name}}}
  pollingInterval: 1
  cooldownPeriod: {cooldown_s}
  minReplicaCount: 0
  maxReplicaCount: {max}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp:
          stabilizationWindowSeconds: 0
          policies:
            - {{type: Percent, value: 1000, periodSeconds: 15}}
            - {{type: Pods, value: 100, periodSeconds: 15}}
  triggers:
    - type: rabbitmq
      metadata: {{protocol: amqp, queueName: {name}, mode: QueueLength, value: '{value}'}}
      authenticationRef: {{name: rabbitmq}}
"
        )
    }
}

/// A pool of the kwok cloud whose machines take so long to boot and go so long after their last pod.
pub fn pool(boot: &str, consolidate_after: &str) -> String {
    format!(
        "apiVersion: karpenter.kwok.sh/v1alpha1
kind: KWOKNodeClass
metadata: {{name: default}}
spec: {{nodeRegistrationDelay: {boot}}}
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {{name: default}}
spec:
  template:
    spec:
      nodeClassRef: {{group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}}
      requirements:
        - {{key: kubernetes.io/arch, operator: In, values: [amd64]}}
        - {{key: kubernetes.io/os, operator: In, values: [linux]}}
        - {{key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}}
  disruption:
    consolidationPolicy: WhenEmptyOrUnderutilized
    consolidateAfter: {consolidate_after}
"
    )
}

/// A node of somebody else's that is too small for workers, as every cluster has one for its own pods. Without any node at all kube-scheduler takes each of
/// its tries for an error, and repeats them blindly with a back-off of up to 10 s.
pub fn system_node() -> String {
    "apiVersion: v1
kind: Node
metadata:
  name: system
  labels: {kwok.x-k8s.io/node: fake, kubernetes.io/os: linux, kubernetes.io/arch: amd64, kubernetes.io/hostname: system}
spec: {}
status:
  capacity: {cpu: 500m, memory: 1Gi, pods: '10'}
  allocatable: {cpu: 500m, memory: 1Gi, pods: '10'}
"
    .to_owned()
}

/// A node of somebody else's with a pod that keeps it busy, and a DaemonSet.
pub fn neighbours() -> String {
    "apiVersion: v1
kind: Node
metadata:
  name: static
  labels: {kwok.x-k8s.io/node: fake, kubernetes.io/os: linux, kubernetes.io/arch: amd64, kubernetes.io/hostname: static}
spec: {}
status:
  capacity: {cpu: '2', memory: 4Gi, pods: '110'}
  allocatable: {cpu: '2', memory: 4Gi, pods: '110'}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      nodeSelector: {kubernetes.io/hostname: static}
      containers: [{name: busy, image: busy, resources: {requests: {cpu: 1500m, memory: 3Gi}}}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: default}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers: [{name: agent, image: agent, resources: {requests: {cpu: 100m, memory: 128Mi}}}]
"
    .to_owned()
}

/// Room for so many pods in all.
pub fn quota(pods: u32) -> String {
    format!(
        "apiVersion: v1
kind: ResourceQuota
metadata: {{name: few, namespace: default}}
spec: {{hard: {{pods: '{pods}'}}}}
"
    )
}
