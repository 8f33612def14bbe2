//! `springtide check` on 10,000 manifests, from the start of the process to its end: as many files, and all in one. The last line has the figures.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The program, built with this benchmark.
const PROGRAM: &str = env!("CARGO_BIN_EXE_springtide");
const MANIFESTS: usize = 10_000;
/// Longer, and nobody would run it before each commit.
const BOUND_S: f64 = 2.0;
/// The median of this many counts.
const RUNS: usize = 5;

fn main() -> Result<()> {
    let folder = Folder::new()?;
    let mut all = String::new();
    std::fs::create_dir(folder.0.join("many"))?;
    for i in 0..MANIFESTS {
        let text = manifest(i)?;
        std::fs::write(folder.0.join(format!("many/{i:05}.yaml")), &text)?;
        write!(all, "---\n{text}")?;
    }
    std::fs::write(folder.0.join("all.yaml"), &all)?;
    println!("{MANIFESTS} manifests, {} MiB", all.len() >> 20);
    let (many, one) = (measured(&folder.0, "many")?, measured(&folder.0, "all.yaml")?);
    println!("a file each {many:.2} s, one file of all {one:.2} s");
    println!("check {MANIFESTS} manifests: {:.2} s (bound {BOUND_S} s)", many.max(one));
    Ok(())
}

/// The median time, after one run that warms the disk's cache.
fn measured(folder: &Path, path: &str) -> Result<f64> {
    let mut times = Vec::new();
    for run in 0..=RUNS {
        let begun = Instant::now();
        let output = Command::new(PROGRAM).args(["check", "-f", path]).current_dir(folder).stderr(Stdio::inherit()).output()?;
        let time = begun.elapsed();
        let out = String::from_utf8(output.stdout)?;
        let summary = out.lines().last().unwrap_or_default();
        ensure!(output.status.code() == Some(1), "{path}: {summary}");
        // One in a hundred has a mistake; what finds none of them measures nothing.
        let expected = format!("{} problems in {} of {MANIFESTS} objects", MANIFESTS / 100, MANIFESTS / 100);
        ensure!(summary.starts_with(&expected), "{path}: {summary}, and not {expected}");
        if run > 0 {
            times.push(time);
        }
    }
    times.sort();
    Ok(times.get(RUNS / 2).copied().unwrap_or(Duration::ZERO).as_secs_f64())
}

/// One in ten is a pool, the others come in threes: a worker, its authentication, what scales it. Each hundredth has a misspelt field.
fn manifest(i: usize) -> Result<String> {
    let mut text = String::new();
    let team = i / 30;
    if i % 10 == 9 {
        write!(
            text,
            "apiVersion: karpenter.sh/v1
kind: NodePool
metadata:
  name: pool-{i}
spec:
  weight: 10
  limits: {{cpu: \"1000\", memory: 4000Gi}}
  disruption:
    consolidationPolicy: WhenEmptyOrUnderutilized
    consolidateAfter: 30s
    budgets:
      - nodes: 20%
      - {{nodes: \"0\", schedule: 0 8 * * 1-5, duration: 10h}}
  template:
    metadata:
      labels: {{team: team-{team}}}
    spec:
      nodeClassRef: {{group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}}
      requirements:
        - {{key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}}
        - {{key: kubernetes.io/arch, operator: In, values: [amd64]}}
        - {{key: topology.kubernetes.io/zone, operator: NotIn, values: [zone-d]}}
        - {{key: karpenter.kwok.sh/instance-cpu, operator: Lt, values: [\"33\"]}}
      taints:
        - {{key: queue, value: \"true\", effect: NoSchedule}}
      expireAfter: 336h
{}",
            if i % 100 == 99 { "      expiresAfter: 1h\n" } else { "" }
        )?;
        return Ok(text);
    }
    let worker = i / 10 * 3 + i % 10 / 3;
    match i % 10 % 3 {
        0 => write!(
            text,
            "apiVersion: apps/v1
kind: Deployment
metadata:
  name: worker-{worker}
  namespace: team-{team}
  labels: {{app: worker-{worker}, app.kubernetes.io/part-of: team-{team}}}
spec:
  selector:
    matchLabels: {{app: worker-{worker}}}
  template:
    metadata:
      labels: {{app: worker-{worker}}}
      annotations: {{prometheus.io/scrape: \"true\", prometheus.io/port: \"9090\"}}
    spec:
      serviceAccountName: worker
      terminationGracePeriodSeconds: 120
      tolerations:
        - {{key: queue, operator: Equal, value: \"true\", effect: NoSchedule}}
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 50
              preference: {{matchExpressions: [{{key: karpenter.sh/capacity-type, operator: In, values: [spot]}}]}}
      containers:
        - name: worker
          image: example/worker:{worker}
          args: [--queue, queue-{worker}]
          ports: [{{name: metrics, containerPort: 9090}}]
          env:
            - name: RABBITMQ_URL
              valueFrom: {{secretKeyRef: {{name: rabbitmq, key: url}}}}
            - {{name: LOG_LEVEL, value: info}}
          livenessProbe: {{httpGet: {{path: /healthz, port: metrics}}, periodSeconds: 10}}
          resources:
            requests: {{cpu: 500m, memory: 512Mi}}
            limits: {{memory: 512Mi}}
          securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true}}
"
        )?,
        1 => write!(
            text,
            "apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata:
  name: auth-{worker}
  namespace: team-{team}
spec:
  secretTargetRef:
    - {{parameter: host, name: rabbitmq, key: url}}
"
        )?,
        _ => write!(
            text,
            "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: worker-{worker}
  namespace: team-{team}
  annotations: {{springtide.dev/deadline: 10m}}
spec:
  scaleTargetRef: {{name: worker-{worker}}}
  pollingInterval: 5
  cooldownPeriod: 60
  maxReplicaCount: 50
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: 60
          policies: [{{type: Percent, value: 50, periodSeconds: 30}}]
  fallback: {{failureThreshold: 3, replicas: 5}}
  triggers:
    - type: rabbitmq
      metadata: {{queueName: queue-{worker}, mode: QueueLength, value: \"20\", activationValue: \"2\"}}
      authenticationRef: {{name: auth-{worker}}}
    - type: rabbitmq
      metadata: {{queueName: late-{worker}, mode: QueueLength, value: \"20\", hostFromEnv: RABBITMQ_URL}}
"
        )?,
    }
    Ok(text)
}

/// A folder that goes with the benchmark.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("springtide-check-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
